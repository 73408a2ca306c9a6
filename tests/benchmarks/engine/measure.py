"""Runs pinned processes, repeats measurements in turn, and writes tables."""

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import psutil

TIMEOUT_S = 600.0
"""For one process: a client that takes longer is not measured."""
_RSS_EVERY_S = 0.2

Values = Mapping[str, float]
"""What one run measured, by name."""
Column = Callable[[], Values]
"""Runs one client once."""


class NotMeasured(Exception):
    """A client cannot run here; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpus:
    """The cores of server and client."""

    server: int
    client: int

    def pinned(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs on the client's core."""
        return ["taskset", "-c", str(self.client), *command]

    @property
    def server_prefix(self) -> tuple[str, ...]:
        """The command that runs the server on its core."""
        return ("taskset", "-c", str(self.server))


@dataclass(slots=True, kw_only=True)
class Finished:
    """A process that has ended.

    Attributes:
        status: Its exit status.
        output: Its standard output.
        errors: Its standard error.
        cpu_s: CPU time of it and of the processes that it waited for.
        rss: Resident bytes by reading of the monotonic clock.
    """

    status: int
    output: str
    errors: str
    cpu_s: float
    rss: list[tuple[float, int]] = field(default_factory=list)

    def rss_mb(self, start_s: float = 0.0, end_s: float = float("inf")) -> float:
        """Return its largest resident size between two times, in MB."""
        return max((size for at, size in self.rss if start_s <= at <= end_s), default=0) / 1e6


def finished(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end."""
    before = os.times()
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    rss: list[tuple[float, int]] = []
    ended = threading.Event()

    def watch() -> None:
        try:
            watched = psutil.Process(process.pid)
            while not ended.wait(_RSS_EVERY_S):
                rss.append((time.monotonic(), watched.memory_info().rss))
        except psutil.Error:
            return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"not finished after {TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            process.communicate()
        ended.set()
        watcher.join()
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Finished(status=process.returncode, output=output, errors=errors, cpu_s=cpu_s, rss=rss)


def program(name: str, path: str | None = None) -> str:
    """Return the path of a program.

    Raises:
        NotMeasured: it is not installed.
    """
    found = shutil.which(path or name)
    if found is None:
        raise NotMeasured("not installed")
    return found


def in_turn(columns: Mapping[str, Column], repeats: int) -> dict[str, list[Values] | str]:
    """Run all clients `repeats` times, each time beginning with another one.

    Returns:
        For each client its measurements, or the reason why it has none.
    """
    names = list(columns)
    results: dict[str, list[Values] | str] = {name: [] for name in names}
    for number in range(repeats):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            measured = results[name]
            if isinstance(measured, str):
                continue
            try:
                measured.append(columns[name]())
            except NotMeasured as reason:
                results[name] = f"not measured: {reason}"
            say(f"  {number + 1}/{repeats} {name}: {_line(results[name])}", file=sys.stderr)
    return results


def _line(measured: list[Values] | str) -> str:
    if isinstance(measured, str):
        return measured
    return ", ".join(f"{name} {value:,.4g}" for name, value in measured[-1].items())


def write_table(title: str, results: Mapping[str, list[Values] | str], ratio_of: str | None = None) -> None:
    """Print the median of each value with its smallest and largest.

    Args:
        title: What was measured.
        results: The result of `in_turn`.
        ratio_of: A value whose ratio to that of the first client is printed, too.
    """
    rows = {name: measured for name, measured in results.items() if not isinstance(measured, str)}
    names = list(dict.fromkeys(name for measured in rows.values() for values in measured for name in values))
    say(f"\n### {title}\n\n| client | n | {' | '.join(names)}{' | × the first' if ratio_of else ''} |")
    say("|---" * (2 + len(names) + bool(ratio_of)) + "|")
    base = None
    for client, measured in results.items():
        if isinstance(measured, str):
            say(f"| {client} | {measured} {'| ' * (len(names) + bool(ratio_of))}|")
            continue
        cells = [_cell([values[name] for values in measured if name in values]) for name in names]
        if ratio_of:
            middle = median(values[ratio_of] for values in measured)
            base = base or middle
            cells.append(f"{middle / base:.2f}" if base else "–")
        say(f"| {client} | {len(measured)} | {' | '.join(cells)} |")


def _cell(values: list[float]) -> str:
    return f"{median(values):,.4g} ({min(values):,.4g}–{max(values):,.4g})" if values else "–"


def write_machine(cpus: Cpus, perf_analyzer: str | None) -> None:
    """Print the machine, and the versions of what is compared."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    say(f"{platform.platform()}, {model}, {os.cpu_count()} CPUs; server on CPU {cpus.server}, client on {cpus.client}.")
    packages = ("locust", "gevent", "grpcio", "tritonclient", "geventhttpclient")
    say(f"Python {platform.python_version()}; " + ", ".join(f"{name} {_version(name)}" for name in packages) + ".")
    programs = {"wrk": ("wrk", "-v"), "h2load": ("h2load", "--version")}
    programs["perf_analyzer"] = (perf_analyzer or "perf_analyzer", "--version")
    say("; ".join(f"{name}: {_printed(*command)}" for name, command in programs.items()) + ".")
    load = os.getloadavg()[0]
    say(f"Load average before the start: {load:.2f}{'; this machine is not quiet' if load > 0.5 else ''}.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "–"


def _printed(name: str, flag: str) -> str:
    """Return the first line that a program prints about its version."""
    found = shutil.which(name)
    if found is None:
        return "not installed"
    done = subprocess.run([found, flag], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    return ((done.stdout + done.stderr).strip().splitlines() or ["unknown"])[0]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def say(line: str, file: object = None) -> None:
    """Print a line at once."""
    print(line, file=file or sys.stdout, flush=True)  # type: ignore[call-overload]
