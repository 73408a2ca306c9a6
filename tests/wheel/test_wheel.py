"""The built wheel in a clean environment: what it holds, and the commands of the README without a checkout."""

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadgen.dataset.folder import RunFolder

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Installed:
    """A wheel and the environment that it is installed in; commands run in an empty folder."""

    wheel: Path
    programs: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs / program), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=400, check=False
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The wheel in a new environment, with the pins of pyproject.toml."""
    uv = shutil.which("uv")
    assert uv, "uv builds the wheel: put it on PATH"
    folder = tmp_path_factory.mktemp("wheel")

    def run(*command: str) -> None:
        done = subprocess.run([uv, *command], env=ENVIRONMENT, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    overrides = folder / "overrides.txt"
    overrides.write_text("\n".join(settings["override-dependencies"]))
    run("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    run("venv", "--quiet", str(folder / "env"))
    pins = (f"--overrides={overrides}", f"--exclude-newer={settings['exclude-newer']}")
    run("pip", "install", "--quiet", f"--python={folder / 'env'}", *pins, str(wheel))
    (folder / "work").mkdir()
    yield Installed(wheel, folder / "env/bin", folder / "work")
    shutil.rmtree(folder / "env")


def readme_scenario() -> str:
    """The scenario that the README shows."""
    (block,) = re.findall(
        r"```python\n(from loadgen\.locust import .*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    return str(block)


def test_the_wheel_takes_no_name_that_others_may_have(installed: Installed) -> None:
    """It installs two packages, `loadgen` and `loadgen_reports`, and nothing beside them."""
    names = {name.partition("/")[0] for name in zipfile.ZipFile(installed.wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"loadgen", "loadgen_reports"}


def test_the_charts_are_in_the_wheel(installed: Installed) -> None:
    """`loadgen deploy` works without a checkout: the charts are installed, file by file as in the repository."""
    done = installed.run("loadgen", "deploy", "--help")
    assert done.returncode == 0, done.stderr
    assert "--values" in done.stdout
    find = "from loadgen.kube.deploy.chart import chart_folder as f; print(f('loadgen')); print(f('triton-trtllm'))"
    for line in installed.run("python", "-c", find).stdout.splitlines():
        chart = Path(line)
        assert chart.is_relative_to(installed.programs.parent)
        expected = {
            file.relative_to(ROOT / "charts" / chart.name) for file in (ROOT / "charts" / chart.name).rglob("*")
        }
        assert {each for each in expected if "__pycache__" not in each.parts} <= {
            file.relative_to(chart) for file in chart.rglob("*")
        }


def test_a_scenario_of_the_docs_runs_and_is_reported_again(installed: Installed) -> None:
    """The README's scenario runs against the local stack; `loadgen report` gives the verdict of the run once more."""
    (installed.folder / "mine.py").write_text(readme_scenario())
    done = installed.run("locust", "-f", "mine.py", "--headless", "-t", "20s")
    assert done.returncode == 3, done.stderr  # 20 s of off-peak load are fewer than 100 answered requests
    (run,) = (installed.folder / "runs").iterdir()
    assert (RunFolder(run).read("requests").outcome == "ok").any()
    (run / "report.html").unlink()
    again = installed.run("loadgen", "report", str(run))
    assert again.returncode == 3, again.stderr
    assert (run / "report.html").is_file()
