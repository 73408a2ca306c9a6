"""Gives uncaught exceptions of the `locust` command their exit codes; without it, Python exits with 1, that of a FAIL.

gevent calls `watch_locustfile` when Locust patches the process (an entry point in pyproject.toml), which is before the
locustfile is read: one with a syntax error never imports `loadgen.locust`.
"""

import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from loadgen.base.console import say
from loadgen.base.errors import ExitCode, LoadgenError, unexpected
from loadgen.base.proposals import listed, meant

_LOADER = "load_locustfile"
"""Locust's function that imports a locustfile."""
_PUBLIC = "loadgen.locust"
_OURS = Path(__file__).parents[1]
_NOT_THE_USERS = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def watch_locustfile(event: object) -> None:
    """Handle an exception in a locustfile that uses loadgen, also if that file cannot be compiled.

    Args:
        event: gevent's event, unused.
    """
    before = sys.excepthook

    def handle(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        locustfile = _locustfile(trace)
        if locustfile is None or not _uses_loadgen(locustfile):
            before(kind, error, trace)
        else:
            exit_with_code(kind, error, trace)

    sys.excepthook = handle


@contextmanager
def errors_exit() -> Iterator[None]:
    """Exit with the code of an exception of the body, after its sentence; a bug exits with 4 and its traceback."""
    try:
        yield
    except Exception as fault:
        error = fault if isinstance(fault, LoadgenError) else unexpected(fault)
        say(f"error: {error}")
        sys.exit(int(error.exit_code))


def exit_with_code(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught exception and exit: with the code of one of our errors, 2 for a locustfile, 4 for a bug."""
    if isinstance(error, LoadgenError):
        say(f"error: {error}")
        sys.exit(int(error.exit_code))
    if isinstance(error, KeyboardInterrupt):  # after a second Ctrl-C, the conductor has printed how to report later
        return
    locustfile = _locustfile(trace)
    if locustfile is None or _is_ours(error):
        say(f"error: {unexpected(error)}")
        sys.exit(int(ExitCode.TOOL))
    shown = traceback.TracebackException(kind, error, trace)
    names = [frame.name for frame in shown.stack]
    below = shown.stack[names.index(_LOADER) + 1 :]
    shown.stack = traceback.StackSummary.from_list([frame for frame in below if _is_the_users(frame.filename)])
    shown.__cause__ = shown.__context__ = None
    sys.stderr.write("".join(shown.format()))
    say(
        f"error: {locustfile} cannot be loaded because of the {kind.__name__} above{_meant_import(error)}: correct it, "
        "and run again"
    )
    sys.exit(int(ExitCode.USAGE))


def _meant_import(error: BaseException) -> str:
    """Return which name of `loadgen.locust` was probably meant by an import that failed, and all names."""
    asked = re.match(r"cannot import name '(\w+)'", str(error))
    if not isinstance(error, ImportError) or error.name != _PUBLIC or asked is None:
        return ""
    names = sorted(sys.modules[_PUBLIC].__all__)
    return f"{meant(asked[1], names)}; {_PUBLIC} has {listed(names)}"


def _locustfile(trace: TracebackType | None) -> Path | None:
    """The locustfile that Locust was loading when the exception was raised; None if it was not loading one."""
    for frame, _ in traceback.walk_tb(trace):
        if frame.f_code.co_name == _LOADER and isinstance(path := frame.f_locals.get("path"), str):
            return Path(path)
    return None


def _uses_loadgen(locustfile: Path) -> bool:
    try:
        return b"loadgen" in locustfile.read_bytes()
    except OSError:
        return False


def _is_ours(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(_OURS)


def _is_the_users(filename: str) -> bool:
    path = Path(filename)
    return path.is_absolute() and not path.is_relative_to(_OURS) and not any(map(path.is_relative_to, _NOT_THE_USERS))
