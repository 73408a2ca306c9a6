"""Compares what `loadgen whatif` predicts from one run with real runs that have the changed settings.

    uv run python tests/benchmarks/whatif_proof.py local        # eight runs, about 25 minutes
    uv run python tests/benchmarks/whatif_proof.py sandbox      # four runs, about 18 minutes
    uv run python tests/benchmarks/whatif_proof.py local --short    # three runs of half a minute, to try it out

Every run goes to a folder of its own below `--runs`. A run that has finished is used again, so the command can be
interrupted and continued. It prints a table in Markdown, for docs/whatif.md; `--table` prints it without any run.

All predictions come from the base run. Of a changed run they know the phase of its syncs alone, which is chance. On the
local stack even that is the same in all runs, as each load starts at a sync. How long replicas took to start is chance
too, and no prediction knows it: the last column repeats the prediction with the start-up of the changed run, so what is
left is the error of the simulation. The intervals are what other arrivals at the same rate would have given.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loadgen.analyze.read import analyze_folder
from loadgen.base.errors import DatasetError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Limit, RunInfo
from loadgen.whatif.check import Comparison, compare
from loadgen.whatif.read import FittedRun, read_fitted
from loadgen.whatif.settings import with_settings
from loadgen.whatif.sweep import run

LOCUST = Path(sys.executable).with_name("locust")
LOCUSTFILE = Path(__file__).with_name("whatif_wave.py")
RUN_WITHIN_S = {"local": 330.0, "sandbox": 420.0}
_STOP_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A changed setting: of the real run, and of the simulation."""

    name: str
    local: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    start_up_s: float = 0.0
    """Change of the start-up of a replica, which the simulation knows as a whole."""


BASE = Case(name="base")
CASES = (
    Case(name="target 0.15 → 0.6", local={"ratio_target": 0.6}, changes=("hpa.target=0.6",)),
    Case(
        name="scale-down window 20 s → 60 s",
        local={"scale_down_window_s": 60},
        changes=("hpa.scale_down_window_s=60",),
    ),
    Case(name="most replicas 4 → 2", local={"replicas": (1, 2)}, changes=("hpa.max_replicas=2",)),
    Case(name="fewest replicas 1 → 2", local={"replicas": (2, 4)}, changes=("hpa.min_replicas=2",)),
    Case(name="sync period 15 s → 5 s", local={"sync_period_s": 5}, changes=("hpa.sync_period_s=5",)),
    Case(name="rate window 10 s → 30 s", local={"rate_window_s": 30}, changes=("prometheus.window_s=30",)),
    Case(name="start-up 8 s → 1 s", local={"startup_delay_s": 1}, start_up_s=-7.0),
)
SANDBOX_CASES = (CASES[0], CASES[2], CASES[6])


def main() -> int:
    """Run what has not been run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(RUN_WITHIN_S))
    parser.add_argument("--runs", type=Path, default=None, help="folder of the runs (default: runs/whatif-proof-…)")
    parser.add_argument("--short", action="store_true", help="two changed settings and short loads")
    parser.add_argument("--table", action="store_true", help="use the runs that are there, and run nothing")
    options = parser.parse_args()
    runs = options.runs or Path("runs") / f"whatif-proof-{options.target}{'-short' if options.short else ''}"
    cases = CASES if options.target == "local" else SANDBOX_CASES
    cases = cases[:2] if options.short else cases
    if not options.table:
        for case in (BASE, *cases):
            _run(case, runs, options.target, wave_s=20.0 if options.short else 65.0)
    print("\n".join(table(runs, cases)))  # noqa: T201
    return 0


def folder_of(runs: Path, case: Case) -> RunFolder | None:
    """The newest run of a case whose load has ended; None without one."""
    for path in sorted(cases_folder(runs, case).glob("*/run.json"), reverse=True):
        with suppress(DatasetError):
            folder = RunFolder.open(path.parent)
            if folder.read_info().state == "finished":
                return folder
    return None


def cases_folder(runs: Path, case: Case) -> Path:
    """The folder of all runs of a case."""
    return runs / "".join(each if each.isalnum() or each == "." else "-" for each in case.name)


def _run(case: Case, runs: Path, target: str, wave_s: float) -> None:
    if folder_of(runs, case) is not None:
        _say(f"{case.name}: has been run")
        return
    _say(f"{case.name}: running")
    command = [str(LOCUST), "-f", str(LOCUSTFILE), "--headless", "--target", target]
    env = {
        **os.environ,
        "LOADGEN_RUNS_DIR": str(cases_folder(runs, case).absolute()),
        "LOADGEN_GROUP": "proof 1 1",  # the first of one repeat: its load starts at a sync
        "PROOF_LOCAL": json.dumps(case.local),
        "PROOF_WAVE_S": str(wave_s),
    }
    log = cases_folder(runs, case).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
        try:
            process.wait(RUN_WITHIN_S[target])
        except subprocess.TimeoutExpired:
            _say(f"{case.name}: not over within {RUN_WITHIN_S[target]:g} s, so it is stopped")
        finally:
            _end(process)
    if folder_of(runs, case) is None:
        sys.exit(f"{case.name}: no finished run; read {log}, then run this command again")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Stop a command in order, and with everything that it started if that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def predict(base: FittedRun, real: FittedRun, case: Case, *, start_up: bool = False) -> Comparison:
    """The simulation of a changed setting from the base run, beside the run with that setting.

    Args:
        base: The base run.
        real: The run with the changed setting.
        case: The setting.
        start_up: Whether the replicas start as in the changed run, and not as in the base run.
    """
    changes, fitted, was = list(case.changes), base.fit, real.fit.setup
    if case.start_up_s:
        changes.append(f"replicas.start_up_s={fitted.setup.replicas.start_up_s + case.start_up_s}")
    setup = with_settings(fitted.setup, changes)
    replicas = setup.replicas
    if start_up:
        replicas = replace(replicas, pending_s=was.replicas.pending_s, loads_s=was.replicas.loads_s)
    setup = replace(setup, replicas=replicas, path=replace(setup.path, sync_offset_s=was.path.sync_offset_s))
    return compare(real.observed, real.fleet, fitted.load, run(fitted.load, setup, fitted.span), setup)


class _Limited(RunFolder):
    """A run with limits on TTFT p50 and p95: an analysis has the intervals of limited percentiles."""

    def read_info(self) -> RunInfo:
        limits = tuple(Limit(metric="ttft", statistic=each, limit=1.0) for each in ("p50", "p95"))
        return super().read_info().model_copy(update={"limits": limits})


def intervals(folder: RunFolder) -> dict[str, str]:
    """What other arrivals at the same rate would have given for TTFT p50 and p95, as the report says it of a limit."""
    found = analyze_folder(_Limited(folder.path)).demand.percentiles
    return {
        each.statistic: "no interval" if each.low_s is None else f"{each.low_s:.2f} … {each.high_s:.2f} s"
        for each in found
    }


def table(runs: Path, cases: tuple[Case, ...]) -> Iterator[str]:
    """The lines of the table in Markdown."""
    found = {case.name: folder_of(runs, case) for case in (BASE, *cases)}
    if found[BASE.name] is None:
        yield "no base run"
        return
    fits = {name: read_fitted(folder) for name, folder in found.items() if folder is not None}
    base = fits[BASE.name]
    replicas = base.fit.setup.replicas
    yield (
        f"{len(base.fit.load)} requests; a replica computes {replicas.slots} at a time and starts within "
        f"{replicas.start_up_s:.1f} s. Assumed: {'; '.join(base.fit.assumptions) or 'nothing'}."
    )
    yield ""
    yield (
        "| predicted / real (error) | replicas: θ | τ | replica-seconds | TTFT p50 | interval of the real p50 "
        "| TTFT p95 | interval of the real p95 | errors of p50, p95 with the real start-up |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for case in (BASE, *cases):
        folder = found[case.name]
        if folder is None:
            yield f"| {case.name} | not run | | | | | | | |"
            continue
        result = predict(base, fits[case.name], case)
        started = predict(base, fits[case.name], case, start_up=True)
        chance = intervals(folder)
        cells = (
            f"{result.replicas_off_ratio:.1%}",
            f"{result.time_off_ratio:.1%}",
            _pair(result.simulated_replica_s, result.measured_replica_s, ""),
            _pair(result.simulated_s[0], result.measured_s[0], " s"),
            chance.get("p50", "no interval"),
            _pair(result.simulated_s[1], result.measured_s[1], " s"),
            chance.get("p95", "no interval"),
            f"{_error(started.simulated_s[0], started.measured_s[0])}, "
            f"{_error(started.simulated_s[1], started.measured_s[1])}",
        )
        yield f"| {case.name} | {' | '.join(cells)} |"


def _pair(predicted: float, real: float, unit: str) -> str:
    """Predicted, real and the difference."""
    digits = 0 if not unit else 2
    return f"{predicted:.{digits}f}{unit} / {real:.{digits}f}{unit} ({_error(predicted, real)})"


def _error(predicted: float, real: float) -> str:
    return f"{(predicted - real) / real:+.0%}" if real else "–"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
