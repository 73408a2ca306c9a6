"""Children never outlive their parent; each test uses real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loadgen.base.errors import StackError
from loadgen.base.processes import Child, spawn

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-I",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
# reports that its lifeline is cut, and ends
LIFELINE_READER = [
    sys.executable,
    "-c",
    "from loadgen.base.processes import lifeline_cut\n"
    "print('up', flush=True)\n"
    "while not lifeline_cut(5): pass\n"
    "print('cut', flush=True)",
]


def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def _start(command: list[str], **options: object) -> Child:
        log = tmp_path / f"{len(children)}.log"
        children.append(spawn(command, log=log, **options))  # type: ignore[arg-type]
        return children[-1]

    yield _start
    for child in children:
        child.stop(0.0)


def test_stop_terminates_a_process(start: Callable[..., Child]) -> None:
    """SIGTERM is enough for most programs; the exit code is the signal."""
    assert start(SLEEP).stop(20.0) == -signal.SIGTERM


def test_stop_kills_after_the_grace_period(start: Callable[..., Child]) -> None:
    """A process that ignores SIGTERM is killed, and stopping it again does nothing."""
    child = start(STUBBORN)
    until(lambda: "up" in child.log.read_text())
    assert child.stop(0.05) == -signal.SIGKILL
    assert child.stop(0.05) == -signal.SIGKILL


def test_kill_ends_the_whole_process_group(start: Callable[..., Child]) -> None:
    """Processes whose group leader has ended are killed as well."""
    child = start([sys.executable, "-c", f"import subprocess; print(subprocess.Popen({SLEEP!r}).pid, flush=True)"])
    until(lambda: child.poll() is not None)
    grandchild = int(child.log.read_text())
    assert running(grandchild)
    child.kill()
    until(lambda: not running(grandchild))


def test_child_leads_its_own_session(start: Callable[..., Child]) -> None:
    """Ctrl-C in the terminal does not reach it."""
    child = start(SLEEP)
    assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_log_is_appended_to(start: Callable[..., Child], tmp_path: Path) -> None:
    """Both output streams go to the log; a second start adds to it."""
    for word in ("one", "two"):
        child = spawn([sys.executable, "-c", f"import sys; print('{word}', file=sys.stderr)"], log=tmp_path / "log")
        assert child.wait(20.0) == 0
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("signals", [None, signal.SIGKILL])
def test_lifeline_is_cut_with_the_child_object(start: Callable[..., Child], signals: int | None) -> None:
    """The child reads the end of its lifeline as soon as the parent closes it, also behind the launcher."""
    child = start(LIFELINE_READER, lifeline=True, parent_death_signal=signals)
    until(lambda: "up" in child.log.read_text())
    assert child.poll() is None
    child._close_lifeline()
    assert child.wait(20.0) == 0
    assert child.log.read_text() == "up\ncut\n"


PARENT = """
import sys, time
from pathlib import Path
from loadgen.base.processes import spawn
child = spawn({command!r}, log=Path({log!r}), {options})
print(child.pid, flush=True)
{after}
time.sleep(60)
"""


def parent(tmp_path: Path, command: list[str], options: str, after: str = "") -> tuple["subprocess.Popen[str]", int]:
    code = PARENT.format(command=command, log=str(tmp_path / "child.log"), options=options, after=after)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (LIFELINE_READER, "lifeline=True"),
        (SLEEP, "parent_death_signal=9"),
        (STUBBORN, "parent_death_signal=9"),
    ],
)
def test_child_ends_with_a_killed_parent(tmp_path: Path, command: list[str], options: str) -> None:
    """SIGKILL of the parent ends the child, by its lifeline or by the kernel."""
    with parent(tmp_path, command, options)[0] as process:
        children = psutil.Process(process.pid).children()
        assert len(children) == 1
        process.kill()
    until(lambda: not running(children[0].pid))


def test_forked_copy_of_the_parent_does_not_hold_the_lifeline(tmp_path: Path) -> None:
    """Locust forks its workers, which must not keep children of the main process alive."""
    fork = "import os\nif os.fork() == 0: time.sleep(60)"
    process, child = parent(tmp_path, LIFELINE_READER, "lifeline=True", fork)
    with process:
        until(lambda: len(psutil.Process(process.pid).children()) == 2)
        (copy,) = [each for each in psutil.Process(process.pid).children() if each.pid != child]
        try:
            process.kill()
            until(lambda: not running(child))
            assert running(copy.pid)
        finally:
            copy.kill()


def test_works_in_a_process_patched_by_gevent(tmp_path: Path) -> None:
    """While gevent starts and stops a child, other greenlets run."""
    code = f"""
from gevent import monkey; monkey.patch_all()
import gevent, sys, time
from pathlib import Path
from loadgen.base.processes import spawn
ticks = []
def tick():
    while True:
        ticks.append(1); gevent.sleep(0.01)
gevent.spawn(tick)
child = spawn({STUBBORN!r}, log=Path({str(tmp_path / "log")!r}), lifeline=True)
while "up" not in Path({str(tmp_path / "log")!r}).read_text(): time.sleep(0.02)
before = len(ticks)
assert child.stop(0.3) == -9, child.poll()
assert len(ticks) > before + 5
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", ["sleep", "/no/such/program", "/etc/passwd"])
def test_program_that_cannot_be_started(tmp_path: Path, program: str) -> None:
    """A relative name, a missing file and a file that is not executable are refused."""
    with pytest.raises(StackError, match="absolute path of a program"):
        spawn([program], log=tmp_path / "log")


def test_log_that_cannot_be_written(tmp_path: Path) -> None:
    """A missing log folder is reported, and no process is started."""
    with pytest.raises(StackError, match="free resources"):
        spawn(SLEEP, log=tmp_path / "missing" / "log", lifeline=True)
