"""`loadgen whatif`: simulates what other settings of the HPA would have done with the load of a run."""

import argparse
import json
from pathlib import Path

from loadgen.base.console import say, show
from loadgen.base.errors import ExitCode, SettingsError

NAME = "whatif"
_LEFT_OUT = 5
"""Combinations that cannot be, each with its reason; of further ones only their number is printed."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `loadgen whatif`."""
    parser = commands.add_parser(NAME, help="simulate other settings of the HPA with the load of a run")
    parser.add_argument("run", type=Path, help="a folder below runs/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting; repeat for others"
    )
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=A,B,…",
        help="try several values of a setting; several sweeps are combined",
    )
    parser.add_argument(
        "--slots", type=int, default=None, metavar="N", help="requests that a replica computes at the same time"
    )
    parser.add_argument("--json", action="store_true", help="print all results as JSON")


def run(options: argparse.Namespace) -> int:
    """Run `loadgen whatif`; returns the exit code: 3 if the simulation does not repeat the run.

    Raises:
        SettingsError: a setting is wrong, or too little was recorded for a simulation.
        DatasetError: the run folder cannot be read.
    """
    import yaml

    from loadgen.dataset.folder import RunFolder
    from loadgen.whatif import text
    from loadgen.whatif.check import check
    from loadgen.whatif.cycle import limit_cycle
    from loadgen.whatif.read import read_fitted
    from loadgen.whatif.sweep import combinations, possible, recommended, sweep
    from loadgen.whatif.text import hpa_manifest

    if options.slots is not None and options.slots < 1:
        raise SettingsError(f"--slots {options.slots}: use at least 1")
    swept = combinations(options.sweep)
    read = read_fitted(RunFolder.open(options.run), slots=options.slots)
    observed, fitted = read.observed, read.fit
    # a wrong setting is refused before minutes of simulation
    changes, left_out = possible(fitted.setup, options.set, swept)
    for sentence in left_out[:_LEFT_OUT]:
        say(sentence)
    if len(left_out) > _LEFT_OUT:
        say(f"and {len(left_out) - _LEFT_OUT} more combinations are left out")
    checked = check(observed, read.fleet, fitted)
    say(f"simulating {len(fitted.load)} requests with {len(changes) + 1} settings: {text.setup_lines(fitted.setup)}")
    variants = sweep(fitted.load, fitted.setup, fitted.span, fitted.limit_s, changes)
    best = recommended(variants, fitted.limit_s)
    length_s = max(observed.end_s, 1.0)
    cycle = limit_cycle(
        (best or variants[0]).setup,
        fitted.load.service_s,
        fitted.load.first_token_s,
        rate_per_s=len(fitted.load) / length_s,
    )
    if options.json:
        cycles = [cycle] if cycle else []
        show(json.dumps(text.as_json(fitted, checked, variants, best, cycles), indent=2))
    else:
        unfit = bool(checked.problems)
        lines = [*text.check_lines(checked, fitted.metric), *(f"Assumed: {each}." for each in fitted.assumptions), ""]
        lines += [
            *text.table(variants, fitted.metric, unfit=unfit),
            "",
            text.recommendation(best, fitted.limit_s, fitted.metric, unfit=unfit),
        ]
        lines += [text.cycle_line(cycle)] if cycle else []
        show("\n".join(lines))
        if best is not None and best.changes and not unfit:
            cluster = observed.info.cluster
            manifest = hpa_manifest(
                best.setup.hpa,
                applied=cluster.hpa_manifest if cluster else None,
                name=cluster.workload if cluster else "triton",
            )
            notes = (text.owner_line(cluster.hpa_manifest if cluster else None), text.elsewhere_line(best.changes))
            for note in filter(None, notes):
                show(note)
            show("---\n" + yaml.safe_dump(manifest, sort_keys=False).rstrip("\n"))
    return int(ExitCode.INVALID if checked.problems else ExitCode.PASS)
