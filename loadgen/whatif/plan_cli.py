"""`loadgen plan`: the fewest replicas that a trace of arrivals needs, without any run."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path

from loadgen.base.console import say, show
from loadgen.base.errors import ExitCode, SettingsError

NAME = "plan"
_WINDOW_S = 30.0
_MIN_REQUESTS = 20


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `loadgen plan`."""
    parser = commands.add_parser(NAME, help="the fewest replicas that a trace of arrivals needs")
    parser.add_argument("trace", type=Path, help="a CSV file with the column arrival_s, in seconds")

    def add_number(flag: str, meaning: str, default: float | None = None, *, required: bool = False) -> None:
        parser.add_argument(flag, type=float, metavar="N", default=default, required=required, help=meaning)

    add_number("--capacity", "requests per second that a busy replica completes", required=True)
    add_number("--ttft", "limit on the time to the first token, in seconds", required=True)
    add_number("--share", "share of the requests within the limit (0.95)", 0.95)
    parser.add_argument(
        "--slots", type=int, default=1, metavar="N", help="requests that a replica computes at the same time (1)"
    )
    add_number("--first-token", "time to the first token of a request that does not wait, in seconds (0)", 0.0)
    add_number("--start-up", "seconds that a replica takes to start (0)", 0.0)
    add_number("--sync-period", "seconds between two decisions (15)", 15.0)
    parser.add_argument("--min-replicas", type=int, default=1, metavar="N", help="fewest replicas (1)")
    add_number("--price", "price of a replica-hour")
    parser.add_argument("--json", action="store_true", help="print all results as JSON, with the schedules")


def run(options: argparse.Namespace) -> int:
    """Run `loadgen plan`; returns the exit code.

    Raises:
        SettingsError: a value is wrong, the trace cannot be read, or no number of replicas keeps the limit.
    """
    import numpy as np

    from loadgen.analyze.cost.load import Load
    from loadgen.analyze.cost.oracle import Goal, Schedule, fixed_fleet, join_windows, perfect
    from loadgen.whatif.trace import read_arrivals

    _check(options)
    arrivals = read_arrivals(options.trace)
    count = len(arrivals)
    service_s = options.slots / options.capacity
    assumed = (
        f"every request takes {service_s:.3g} s in its slot (--slots / --capacity) and {options.first_token:g} s until "
        "its first token (--first-token), whatever its input and output tokens, and in every batch"
    )
    load = Load(
        arrival_s=arrivals,
        service_s=np.full(count, service_s),
        first_token_s=np.full(count, options.first_token),
    )
    end_s = float(arrivals[-1]) + service_s
    goal = Goal(
        limit_s=options.ttft, share=options.share, windows=join_windows(arrivals, end_s, _WINDOW_S, _MIN_REQUESTS)
    )
    fixed = fixed_fleet(load, options.slots, goal)

    def schedule(start_up_s: float) -> Schedule | None:
        return perfect(
            load,
            options.slots,
            goal,
            begin_s=0.0,
            end_s=end_s,
            period_s=options.sync_period,
            start_up_s=start_up_s,
            minimum=options.min_replicas,
        )

    at_once = schedule(0.0)
    slowly = schedule(options.start_up) if options.start_up else None
    if fixed is None or at_once is None:
        raise SettingsError(
            f"no number of replicas keeps {options.share:g} of the requests within {options.ttft:g} s: "
            f"the first token alone takes {options.first_token:g} s"
        )
    fixed_hours = max(fixed, options.min_replicas) * end_s / 3600
    if options.json:
        result = {
            "assumptions": [assumed],
            "requests": count,
            "length_s": end_s,
            "fixed_replicas": fixed,
            "fixed_replica_hours": fixed_hours,
            "perfect": asdict(at_once),
            "perfect_with_start_up": asdict(slowly) if slowly else None,
        }
        show(json.dumps(result, indent=2))
        return int(ExitCode.PASS)
    show(f"{count:,} requests in {end_s:.0f} s, {count / end_s:.3g}/s on average")
    lines: list[tuple[str, float, Schedule | None]] = [
        (f"fixed fleet of {max(fixed, options.min_replicas)}", fixed_hours, None)
    ]
    lines.append(("perfect autoscaler", at_once.replica_seconds / 3600, at_once))
    if slowly is not None:
        name = f"perfect autoscaler, start-up of {options.start_up:g} s"
        lines.append((name, slowly.replica_seconds / 3600, slowly))
    for name, hours, found in lines:
        text = f"{name}: {hours:.3f} replica-hours"
        if found is not None:
            text += f" ({found.least_replica_seconds / 3600:.3f} at the least), up to {max(found.replicas)} replicas"
        if options.price is not None:
            text += f", {hours * options.price:.2f} at {options.price:g} for a replica-hour"
        show(text)
    say(f"Assumed: {assumed}.")
    return int(ExitCode.PASS)


def _check(options: argparse.Namespace) -> None:
    for name in ("capacity", "ttft", "sync_period"):
        if not 0 < getattr(options, name) < math.inf:
            raise SettingsError(f"--{name.replace('_', '-')} {getattr(options, name):g}: use more than 0")
    for name in ("first_token", "start_up", "price"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < math.inf:
            raise SettingsError(f"--{name.replace('_', '-')} {value:g}: use 0 or more")
    if not 0 < options.share <= 1:
        raise SettingsError(f"--share {options.share:g}: use more than 0 and at most 1")
    for name in ("slots", "min_replicas"):
        if getattr(options, name) < 1:
            raise SettingsError(f"--{name.replace('_', '-')} {getattr(options, name)}: use at least 1")
