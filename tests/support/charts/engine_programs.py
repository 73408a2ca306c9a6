"""The chart's engine programs for tests: their modules, and processes on a small volume with a stand-in builder."""

import contextlib
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

ENGINE = Path(__file__).parents[3] / "charts/triton-trtllm/files/engine"

# what stands in for download, convert and trtllm-build: does what control/<step>.json says, and counts its calls
STAND_IN = """
import json, os, pathlib, sys, time
step, out, control = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
with open(control / "calls", "a") as calls:
    calls.write(f"{step} {os.getpid()}\\n")
plan = control / f"{step}.json"
plan = json.loads(plan.read_text()) if plan.exists() else {}
print(f"{step} works; the environment has", os.environ.get("HF_TOKEN"), flush=True)
print(plan.get("says", ""), flush=True)
time.sleep(plan.get("sleeps_s", 0))
while (control / f"{step}.paused").exists():
    time.sleep(0.02)
if plan.get("fails_with"):
    sys.exit(plan["fails_with"])
out.mkdir(parents=True, exist_ok=True)
if step == "download":
    (out / "config.json").write_text('{"model_type": "llama"}')
    (out / "tokenizer.json").write_text("{}")
    (out / "model.safetensors").write_text("weights")
else:
    (out / "config.json").write_text('{"build_config": {"max_batch_size": 8}}')
    (out / "rank0.engine").write_text(step)
"""


def modules() -> Callable[[str], ModuleType]:
    """Imports the programs' modules and leaves neither their names nor their folder behind."""
    names = sorted(path.stem for path in ENGINE.glob("*.py"))
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(ENGINE))
    try:
        found = {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(ENGINE))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
    return found.__getitem__


module = modules()


class Volume:
    """A volume, settings whose commands are the stand-in, and the programs started on them."""

    def __init__(self, folder: Path) -> None:
        self.root, self.control, self.settings = folder / "volume", folder / "control", folder / "settings.json"
        self.log = folder / "termination-log"
        self.root.mkdir()
        self.control.mkdir()
        stand_in = folder / "stand_in.py"
        stand_in.write_text(STAND_IN)

        def step(name: str, out: str) -> list[str]:
            return [sys.executable, "-S", "-E", str(stand_in), name, out, str(self.control)]

        self.said: dict[str, Any] = {
            "model": {"repository": "acme/tiny", "revision": "main"},
            "gpu_product": ["NVIDIA-H100-80GB-HBM3"],
            "trtllm_version": "1.2.1",
            "build": {"max_batch_size": 8},
            "min_free_bytes": 0,
            "commands": {
                "download": step("download", "{model_dir}"),
                "convert": step("convert", "{checkpoint_dir}"),
                "build": step("build", "{engine_dir}"),
            },
        }
        self.started: list[subprocess.Popen[str]] = []
        self.write()

    def write(self, **changed: Any) -> None:
        self.said |= changed
        self.settings.write_text(json.dumps(self.said))

    def plan(self, step: str, **said: Any) -> None:
        (self.control / f"{step}.json").write_text(json.dumps(said))

    def pause(self, step: str) -> None:
        """Lets a step wait for `resume`."""
        (self.control / f"{step}.paused").touch()

    def resume(self, step: str) -> None:
        (self.control / f"{step}.paused").unlink()

    def calls(self) -> list[str]:
        path = self.control / "calls"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def folder(self) -> Path:
        """The only engine's folder."""
        (found,) = (self.root / "engines").iterdir()
        return found

    def start(self, program: str, *flags: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ENGINE / f"{program}.py"), "--settings", str(self.settings), "--root"]
        command += [str(self.root), "--gpu-check", "off", "--termination-log", str(self.log), *flags]
        environment = {"PATH": "/usr/bin", **environment}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.started.append(process)
        return process

    def build(self, *flags: str, stale_s: float = 30.0, **environment: str) -> subprocess.Popen[str]:
        timing = ("--heartbeat-s", "0.1", "--stale-s", str(stale_s), "--poll-s", "0.05")
        return self.start("build", *timing, *flags, **environment)

    def wait(self, *flags: str) -> subprocess.Popen[str]:
        return self.start("wait", "--job", "llm-engine", "--poll-s", "0.05", "--report-s", "0.1", *flags)

    def end(self) -> None:
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.communicate()


def output(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Returns the exit code and everything said."""
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def until(condition: Callable[[], Any], within_s: float = 40.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
