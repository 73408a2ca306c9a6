"""Checks the Dockerfile without a container engine: the files that it copies exist and are sufficient."""

import fnmatch
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Step:
    """One instruction of a stage."""

    instruction: str
    arguments: str


def stages() -> list[list[Step]]:
    """Return the instructions of the Dockerfile by stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    steps: list[list[Step]] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            instruction, _, arguments = line.partition(" ")
            if instruction == "FROM":
                steps.append([])
            steps[-1].append(Step(instruction, arguments.strip()))
    return steps


def copies(stage: list[Step]) -> list[tuple[list[str], str]]:
    """Return sources and destination of each COPY from this repository."""
    parts = [shlex.split(arguments) for arguments in arguments_of(stage, "COPY")]
    return [(part[:-1], part[-1]) for part in parts if not part[0].startswith("--from")]


def arguments_of(stage: list[Step], instruction: str) -> list[str]:
    return [step.arguments for step in stage if step.instruction == instruction]


def test_the_image_does_not_run_as_root() -> None:
    """The image has one USER, with the numeric ids of the chart, as `runAsNonRoot` of Kubernetes requires."""
    users = arguments_of(stages()[-1], "USER")
    assert users == ["10001:10001"]
    chart = (ROOT / "charts/loadgen/values.yaml").read_text()
    assert "runAsUser: 10001" in chart
    assert "runAsGroup: 10001" in chart


def test_all_stages_have_the_same_base_image() -> None:
    """The Python environment is copied between stages, so they use the same image with a pinned Python version."""
    bases = {arguments_of(stage, "FROM")[0].split(" ")[0] for stage in stages()}
    (base,) = bases
    assert fnmatch.fnmatch(base, "python:3.1[1-3]-slim-*")


def test_files_to_copy_exist_and_are_not_ignored() -> None:
    """Every source of a COPY exists, and .dockerignore allows exactly these sources."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*", "the file lists what is allowed"
    allowed = {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}
    sources = {source for stage in stages() for group, _ in copies(stage) for source in group}
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source
    assert {source.rstrip("/") for source in sources} == allowed


def test_the_chart_finds_the_programs_and_the_scenarios() -> None:
    """The programs are on the image's PATH, and the chart's default Locust file is below the working directory."""
    last = stages()[-1]
    assert arguments_of(last, "WORKDIR") == ["/app"]
    assert any("PATH=/app/.venv/bin:" in each for each in arguments_of(last, "ENV"))
    assert (["scenarios/"], "scenarios/") in copies(last)
    assert "path: scenarios/waves.py" in (ROOT / "charts/loadgen/values.yaml").read_text()


@pytest.mark.timeout(300)
def test_the_copied_files_are_sufficient(tmp_path: Path) -> None:
    """The builder's install step works with the copied files only, and the programs start without these files."""
    uv = shutil.which("uv")
    assert uv is not None, "uv, which the builder installs with, is not on PATH"
    builder, last = stages()
    app = tmp_path / "builder/app"
    app.mkdir(parents=True)
    copy_files(builder, app)
    (install,) = [each for each in arguments_of(builder, "RUN") if each.startswith("uv ")]
    quick = [each for each in shlex.split(install) if each != "--compile-bytecode"]
    # with a shared bytecode cache, each run of this test would add the bytecode of a new environment to it
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONPYCACHEPREFIX")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    env["UV_LINK_MODE"] = "symlink"  # faster, and the environment is temporary
    # uv's cache usually has all packages of this environment; otherwise they are downloaded from the index
    for flags in (["--offline"], []):
        command = [uv, *quick[1:], *flags]
        done = subprocess.run(command, cwd=app, env=env, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    image = tmp_path / "image/app"
    image.mkdir(parents=True)
    copy_files(last, image)
    for folder in ("loadgen", "reports", "charts"):
        shutil.rmtree(app / folder)  # the last stage only copies the environment
    programs = app / ".venv/bin"
    for command, expected in (
        (["locust", "--locustfile=scenarios/waves.py", "--list"], "WaveUser"),
        (["loadgen", "keep", "--help"], "s3://BUCKET/PREFIX"),
    ):
        ran = subprocess.run(
            [programs / command[0], *command[1:]],
            cwd=image,
            env={**env, "LOADGEN_RUNS_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert expected in ran.stdout, ran.stderr
        assert ran.returncode == 0
    script = "from loadgen.kube.deploy.chart import chart_folder; print(chart_folder('loadgen'), chart_folder())"
    ran = subprocess.run(
        [programs / "python", "-c", script], cwd=image, capture_output=True, text=True, timeout=60, check=True
    )
    assert all(Path(each).is_relative_to(app / ".venv") for each in ran.stdout.split())


def copy_files(stage: list[Step], target: Path) -> None:
    """Copy the files that a stage copies from the repository."""
    for sources, to in copies(stage):
        for source in sources:
            if source.endswith("/"):
                shutil.copytree(ROOT / source, target / to, ignore=NOT_COPIED)
            else:
                shutil.copy(ROOT / source, target / to)
