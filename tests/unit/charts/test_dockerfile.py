"""The Dockerfile, as far as it can be checked without a container engine: what it copies is there, and is enough."""

import fnmatch
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Step:
    """One instruction of a stage."""

    word: str
    rest: str


def stages() -> list[list[Step]]:
    """The Dockerfile's instructions, stage by stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    found: list[list[Step]] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append(Step(word, rest.strip()))
    return found


def copied(stage: list[Step]) -> list[tuple[list[str], str]]:
    """Sources of this repository and where they go."""
    parts = [shlex.split(step.rest) for step in stage if step.word == "COPY"]
    return [(part[:-1], part[-1]) for part in parts if not part[0].startswith("--from")]


def values(stage: list[Step], word: str) -> list[str]:
    return [step.rest for step in stage if step.word == word]


def test_the_last_stage_is_not_root() -> None:
    """A number, as Kubernetes' runAsNonRoot wants, the one that the chart sets; and it is the last word on users."""
    users = values(stages()[-1], "USER")
    assert users == ["10001:10001"]
    chart = (ROOT / "charts/loadgen/values.yaml").read_text()
    assert "runAsUser: 10001" in chart
    assert "runAsGroup: 10001" in chart


def test_stages_have_one_pinned_base() -> None:
    """The environment is moved from one stage to the other, so both have the same Python."""
    bases = {values(stage, "FROM")[0].split(" ")[0] for stage in stages()}
    (base,) = bases
    assert fnmatch.fnmatch(base, "python:3.1[1-3]-slim-*")


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """A source that is missing, or that .dockerignore leaves out, ends a build."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*", "the list says what is let in"
    let_in = {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}
    sources = {source for stage in stages() for every, _ in copied(stage) for source in every}
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source
    assert {source.rstrip("/") for source in sources} == let_in


def test_the_chart_finds_the_programs_and_the_scenarios() -> None:
    """What the chart runs by name stands on the image's PATH; its default Locust file below the working directory."""
    last = stages()[-1]
    assert values(last, "WORKDIR") == ["/app"]
    assert any("PATH=/app/.venv/bin:" in each for each in values(last, "ENV"))
    assert (["scenarios/"], "scenarios/") in copied(last)
    assert "path: scenarios/waves.py" in (ROOT / "charts/loadgen/values.yaml").read_text()


@pytest.mark.timeout(300)
def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """The builder's install step, run in a folder that holds what it copies, gives programs that start without it."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not on PATH: it is what the builder installs with")
    builder, last = stages()
    app = tmp_path / "builder/app"
    app.mkdir(parents=True)
    place(builder, app)
    (install,) = [each for each in values(builder, "RUN") if each.startswith("uv ")]
    quick = [each for each in shlex.split(install) if each != "--compile-bytecode"]
    # a bytecode cache elsewhere would keep that of every environment that this test ever made
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONPYCACHEPREFIX")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    env["UV_LINK_MODE"] = "symlink"  # quick: what is installed need not outlive uv's cache
    # from uv's cache, which holds all that this environment was made of; asked of the index where it does not
    for where in (["--offline"], []):
        command = [uv, *quick[1:], *where]
        done = subprocess.run(command, cwd=app, env=env, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    image = tmp_path / "image/app"
    image.mkdir(parents=True)
    place(last, image)
    for folder in ("loadgen", "reports", "charts"):
        shutil.rmtree(app / folder)  # the environment is all that the last stage takes
    programs = app / ".venv/bin"
    for command, said in (
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
        assert said in ran.stdout, ran.stderr
        assert ran.returncode == 0
    ask = "from loadgen.kube.deploy.chart import chart_folder; print(chart_folder('loadgen'), chart_folder())"
    ran = subprocess.run(
        [programs / "python", "-c", ask], cwd=image, capture_output=True, text=True, timeout=60, check=True
    )
    assert all(Path(each).is_relative_to(app / ".venv") for each in ran.stdout.split())


def place(stage: list[Step], target: Path) -> None:
    """Copy what a stage copies from the repository."""
    for sources, to in copied(stage):
        for source in sources:
            if source.endswith("/"):
                shutil.copytree(ROOT / source, target / to, ignore=NOT_COPIED)
            else:
                shutil.copy(ROOT / source, target / to)
