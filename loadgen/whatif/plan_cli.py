"""`loadgen plan`: the fewest replicas that a trace of arrivals needs."""

import argparse
import csv
import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.base.console import say, show
from loadgen.base.display import number, rounded_duration, seconds
from loadgen.base.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from loadgen.whatif.model import Floats, Load

NAME = "plan"
COLUMN = "arrival_s"
MOST = 20_000_000
"""Arrivals of a trace."""
SEED = 20_263
_WINDOW_S = 30.0
_MIN_REQUESTS = 20


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `loadgen plan`."""
    parser = commands.add_parser(NAME, help="the fewest replicas that a trace of arrivals needs")
    parser.add_argument("trace", type=Path, help="a CSV file with the column arrival_s, in seconds")

    def add_number(flag: str, meaning: str, default: float | None = None, *, required: bool = False) -> None:
        parser.add_argument(flag, type=float, metavar="N", default=default, required=required, help=meaning)

    add_number("--capacity", "requests per second that a busy replica completes")
    parser.add_argument(
        "--services", type=Path, metavar="RUN", help="instead: a run folder whose service times the requests have"
    )
    add_number("--ttft", "limit on the time to the first token, in seconds", required=True)
    add_number("--share", "share of the requests within the limit (0.95)", 0.95)
    parser.add_argument(
        "--slots",
        type=int,
        default=None,
        metavar="N",
        help="requests that a replica computes at the same time (1, or those of --services)",
    )
    add_number("--first-token", "time to the first token of a request that does not wait, in seconds (0)")
    add_number("--start-up", "seconds that a replica takes to start (0)", 0.0)
    add_number("--sync-period", "seconds between two decisions (15)", 15.0)
    parser.add_argument("--min-replicas", type=int, default=1, metavar="N", help="fewest replicas (1)")
    add_number("--price", "price of a replica-hour")
    parser.add_argument("--json", action="store_true", help="print all results as JSON, with the schedules")


def run(options: argparse.Namespace) -> int:
    """Run `loadgen plan`; returns the exit code.

    Raises:
        SettingsError: a value is wrong, the trace cannot be read, or no number of replicas keeps the limit.
        DatasetError: the run folder of `--services` cannot be read.
    """
    from loadgen.analyze.cost.oracle import Goal, Schedule, fixed_fleet, join_windows, perfect

    _check(options)
    arrivals = read_arrivals(options.trace)
    count = len(arrivals)
    load, slots, assumed = _services(options, arrivals) if options.services else _equal(options, arrivals)
    end_s = float(arrivals[-1]) + float(load.service_s.max())
    goal = Goal(
        limit_s=options.ttft, share=options.share, windows=join_windows(arrivals, end_s, _WINDOW_S, _MIN_REQUESTS)
    )
    fixed = fixed_fleet(load, slots, goal)

    def schedule(start_up_s: float) -> Schedule | None:
        return perfect(
            load,
            slots,
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
        first_s = float(load.first_token_s.max())
        raise SettingsError(
            f"no number of replicas keeps {options.share:g} of the requests within {options.ttft:g} s: "
            f"the first token alone takes {'up to ' if options.services else ''}{seconds(first_s)}"
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
    show(f"{count:,} requests in {rounded_duration(end_s)}, {number(count / end_s)}/s on average")
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


def _equal(options: argparse.Namespace, arrivals: "Floats") -> "tuple[Load, int, str]":
    """Requests with equal services, the slots of a replica, and what that assumes."""
    import numpy as np

    from loadgen.whatif.model import Load

    slots, first_s = options.slots or 1, options.first_token or 0.0
    service_s = slots / options.capacity
    assumed = (
        f"every request takes {seconds(service_s)} in its slot (--slots / --capacity) and {seconds(first_s)} until its "
        "first token (--first-token), whatever its input and output tokens, and in every batch; --services RUN takes "
        "the service times of a run instead"
    )
    count = len(arrivals)
    load = Load(arrival_s=arrivals, service_s=np.full(count, service_s), first_token_s=np.full(count, first_s))
    return load, slots, assumed


def _services(options: argparse.Namespace, arrivals: "Floats") -> "tuple[Load, int, str]":
    """Requests whose services are drawn from those of a run, the slots of a replica, and what that assumes."""
    import numpy as np

    from loadgen.analyze.demand.occupancy import occupancy
    from loadgen.analyze.read import read_observed
    from loadgen.analyze.scaling.replicas import fleet
    from loadgen.dataset.folder import RunFolder
    from loadgen.whatif.model import Load

    observed = read_observed(RunFolder.open(options.services))
    found = occupancy(observed, fleet(observed), observed.requests.service_s)
    if isinstance(found, str):
        raise SettingsError(f"--services {options.services}: the service times are unknown, because {found}")
    if options.slots is None and not found.slots_known:
        raise SettingsError(
            f"--services {options.services}: requests hardly waited in this run, so it is unknown how many a replica "
            "computes at the same time: give it with --slots"
        )
    services = found.services
    known = np.flatnonzero(services.known & np.isfinite(services.prefill_s))
    drawn = np.random.default_rng(SEED).choice(known, len(arrivals))
    slots = options.slots or found.slots
    source = "modelled from the client's times" if services.method == "modelled" else "as the engine reported them"
    assumed = (
        f"the services are drawn from those of {len(known):,} requests of the run ({source}), "
        f"{seconds(float(services.service_s[known].mean()))} on average, as long as in the batches of that run; a "
        f"replica computes {slots} at the same time"
    )
    load = Load(
        arrival_s=arrivals,
        service_s=services.service_s[drawn],
        first_token_s=np.minimum(services.prefill_s, services.service_s)[drawn],
    )
    return load, slots, assumed


def read_arrivals(path: Path) -> "Floats":
    """Return the arrival times of a CSV file in order, counted from the first.

    The times are seconds, in the column `arrival_s`, or in the only column of a file with one.

    Raises:
        SettingsError: the file cannot be read, has no such column, or a time is not a number.
    """
    import numpy as np

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            times = _times(path, csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"the trace {path} cannot be read: {error}") from None
    if not times:
        raise SettingsError(f"the trace {path} has no arrivals")
    arrivals: Floats = np.sort(np.array(times))
    arrivals -= arrivals[0]
    return arrivals


def _times(path: Path, rows: Iterable[list[str]]) -> list[float]:
    column: int | None = None
    times: list[float] = []
    for line, row in enumerate(rows, start=1):
        if not row:
            continue
        if column is None:
            names = [name.strip() for name in row]
            if COLUMN in names:
                column = names.index(COLUMN)
                continue
            if len(row) > 1:
                raise SettingsError(f"the trace {path} has no column {COLUMN}, but {', '.join(names[:10])}")
            column = 0
        try:
            time_s = float(row[column])
        except (ValueError, IndexError):
            time_s = math.nan
        if not math.isfinite(time_s):
            raise SettingsError(f"line {line} of the trace {path} has no arrival time in seconds: {row[:5]}")
        times.append(time_s)
        if len(times) > MOST:
            raise SettingsError(f"the trace {path} has more than {MOST:,} arrivals: split it")
    return times


def _check(options: argparse.Namespace) -> None:
    if (options.capacity is None) == (options.services is None):
        raise SettingsError("give one of --capacity and --services: what a replica can do is known from either")
    if options.services is not None and options.first_token is not None:
        raise SettingsError("--first-token does not go with --services: the run has the times to the first token")
    for name in ("capacity", "ttft", "sync_period"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise SettingsError(f"--{name.replace('_', '-')} {value:g}: use more than 0")
    for name in ("first_token", "start_up", "price"):
        value = getattr(options, name)
        if value is not None and not 0 <= value < math.inf:
            raise SettingsError(f"--{name.replace('_', '-')} {value:g}: use 0 or more")
    if not 0 < options.share <= 1:
        raise SettingsError(f"--share {options.share:g}: use more than 0 and at most 1")
    for name in ("slots", "min_replicas"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise SettingsError(f"--{name.replace('_', '-')} {value}: use at least 1")
