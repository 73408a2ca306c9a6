"""Measures what the analysis of a large run costs, in time and memory.

python tests/benchmarks/analysis_scale.py --requests 1000000 --tokens 50 --pods 10 [--compare]

It writes a synthetic run folder (or takes that of `--run`) and runs each of these in a process of its own:

- `analysis`: the analysis alone, with the CPU time of tables and point estimates, of intervals and replays, and of each
  step;
- `report`: `loadgen report` with every report but the PNG figures;
- `plain pandas` (with `--compare`): the point estimates by `plain_pandas.py`.

Python has its bytecode, as on a machine where loadgen ran before. Timings beside other work are noisy: compare CPU
seconds, and ratios of one call.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

STEPS = """
import json, sys, time
from pathlib import Path
spent = {}
def timed(module, name):
    function = getattr(module, name)
    def call(*args, **kwargs):
        began = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.process_time() - began
    setattr(module, name, call)
began = time.process_time()
from loadgen.analyze import analysis, latency, read
from loadgen.dataset.folder import RunFolder
spent["imports"] = time.process_time() - began
own = "loadgen.analyze"
for module in (analysis, latency):
    for name, value in list(vars(module).items()):
        if callable(value) and not isinstance(value, type) and not name.startswith("_"):
            if getattr(value, "__module__", "").startswith(own) and name not in ("analyze", "bounds", "stats"):
                timed(module, name)
timed(read, "_read")
read.analyze_folder(RunFolder.open(Path(sys.argv[1])))
spent["total"] = time.process_time()
print(json.dumps(dict(sorted(spent.items(), key=lambda each: -each[1]))))
"""


REPLAYS = ("fit", "need", "assess", "cost", "correlations")
"""Steps that estimate intervals or replay the run."""
WARM_UP = "import pandas, loadgen.analyze.read, loadgen_reports.formats.html, loadgen_reports.formats.markdown"


def main() -> None:
    """Make the folder, measure, and print one line for each process."""
    parser = argparse.ArgumentParser(description="What the analysis of a large run costs")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3600.0, help="length of the load")
    parser.add_argument("--run", type=Path, help="a run folder of an earlier call, in place of a new one")
    parser.add_argument("--keep", type=Path, help="keep the new run folder below this folder")
    parser.add_argument("--compare", action="store_true", help="run plain_pandas.py, too")
    parser.add_argument("--only", choices=["analysis", "report"], help="run one of them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = options.run or made(options.keep or Path(temporary), options)
        say(f"{run}: {sum(file.stat().st_size for file in run.rglob('*.parquet')) / 1e6:,.0f} MB of parts")
        commands = {
            "analysis": [sys.executable, "-c", STEPS, str(run)],
            "report": [sys.executable, "-m", "loadgen", "report", str(run), "--reports", "json,html,markdown,junit"],
        }
        if options.only:
            commands = {options.only: commands[options.only]}
        if options.compare:
            commands["plain pandas"] = [sys.executable, str(HERE / "plain_pandas.py"), str(run)]
        run_to_end([sys.executable, "-c", WARM_UP], Path(temporary), sys.stdout.fileno())
        for name, command in commands.items():
            measure(name, command, Path(temporary))
        if (run / "analysis.json").exists():
            say(f"analysis.json: {(run / 'analysis.json').stat().st_size / 1e6:.2f} MB")


def made(runs: Path, options: argparse.Namespace) -> Path:
    """Write the run folder."""
    sys.path.insert(0, str(HERE))
    from large_run import write

    return write(runs, requests=options.requests, tokens=options.tokens, pods=options.pods, length_s=options.seconds)


def measure(name: str, command: list[str], temporary: Path) -> None:
    """Run a command to its end and print its cost."""
    output = temporary / "output"
    began = time.monotonic()
    with output.open("wb") as file:
        status, used = run_to_end(command, temporary, file.fileno())
    wall = time.monotonic() - began
    say(f"{name:<14}{text(wall, used)}  (exit code {os.waitstatus_to_exitcode(status)})")
    if name == "analysis":
        steps = json.loads(output.read_text() or "{}")
        replays = sum(steps.get(step, 0.0) for step in REPLAYS)
        say(f"    {'intervals and replays':<28}{replays:8.2f} s CPU")
        say(f"    {'tables and point estimates':<28}{steps.pop('total', 0.0) - replays:8.2f} s CPU")
        for step, seconds in steps.items():
            if seconds >= 0.05:
                say(f"        {step:<24}{seconds:8.2f} s CPU")


def run_to_end(command: list[str], temporary: Path, output: int) -> tuple[int, resource.struct_rusage]:
    """Run a command with bytecode in a folder of this call; returns its status and what it used."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    child = os.posix_spawn(
        command[0],
        command,
        environment | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(temporary / "bytecode")},
        file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)],
    )
    _, status, used = os.wait4(child, 0)
    return status, used


def text(wall: float, used: resource.struct_rusage) -> str:
    """The cost of a process in words."""
    return f"{wall:8.1f} s wall  {used.ru_utime + used.ru_stime:8.1f} s CPU  {used.ru_maxrss / 1024:8,.0f} MiB peak"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
