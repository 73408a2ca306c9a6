"""A command of its own inside a sandbox of its own: Locust for `--target sandbox`, started again where its target is.

    locust … --target sandbox ─▶ sandbox up ─▶ the same command line, inside ─▶ its exit code ─▶ sandbox down

So requests go straight to the cluster's network, and nothing of the load passes through a tunnel.
"""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence

from loadgen.base.errors import StackError
from loadgen.base.processes import Child, children_of
from loadgen.programs.cache import cache_dir
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox.build.build import find
from loadgen.sandbox.commands import DEFAULT_NODES, INSIDE, Sandbox, Say
from loadgen.sandbox.config import SandboxConfig
from loadgen.sandbox.forward import Forward
from loadgen.sandbox.interruption import interruptible

_POLL_S = 0.5
_OF_A_RUN = "run-"
_KILLED = 128 + signal.SIGKILL
_GOING_S = 5.0


def run_inside(argv: Sequence[str], *, say: Say, web_port: int | None) -> int:
    """Run a command inside a sandbox that is made for it; returns its exit code.

    Args:
        argv: The command line.
        say: Told what the start-up does.
        web_port: Port of a web UI inside that is opened here at the same port; None without one.

    Raises:
        LoadgenError: the sandbox does not come up or is lost on the way, or its port is taken here.
    """
    _sweep()
    sandbox = Sandbox.named(f"{_OF_A_RUN}{uuid.uuid4().hex[:8]}")
    tools = find(progress=say)
    config = SandboxConfig(name=sandbox.name, folder=sandbox.folder, tools=tools, nodes=DEFAULT_NODES, emulated=True)
    with Forward(sandbox, web_port):  # first, as a port that is taken needs no sandbox to be told
        find_tritonserver(progress=say)  # now, as nothing can be fetched from inside
        with interruptible("interrupted while the sandbox started: nothing of it is left, and no run has begun"):
            world = sandbox.up(config, say=say, attached=True)
        return _until_it_ends(sandbox, world, argv)


def _until_it_ends(sandbox: Sandbox, world: Child, argv: Sequence[str]) -> int:
    lost = ""
    try:
        code = _run(sandbox.command([*argv]), sandbox.name)
        # a world that goes kills all in it first, and is gone a moment later
        if world.wait(_GOING_S if code == _KILLED else 0.0) is not None:
            lost = sandbox.why_gone()
    finally:
        (sandbox.leave_logs if lost else sandbox.delete)()
    if lost:
        raise StackError(f"{lost}; what the run has recorded is judged by `loadgen report`")
    return code


def _sweep() -> None:
    """Remove what runs that were killed left on disk; their processes ended with them."""
    for folder in (cache_dir() / "sandboxes").glob(f"{_OF_A_RUN}*/holder.json"):
        sandbox = Sandbox(folder.parent)
        if sandbox.holder() is None:
            sandbox.delete()


def _run(command: list[str], name: str) -> int:
    # a session of its own: a Ctrl-C in the terminal reaches this process alone, which passes it on once
    inner = subprocess.Popen(
        command, env={**os.environ, INSIDE: name}, stdin=subprocess.DEVNULL, start_new_session=True
    )

    def pass_on(number: int, _: object) -> None:
        for child in children_of(inner.pid):  # what nsenter waits for
            os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            try:
                return _exit_code(inner.wait(_POLL_S))
            except subprocess.TimeoutExpired:
                continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        inner.kill()
        inner.wait()


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def same_command() -> list[str]:
    """The command line of this process, to be run again."""
    return [sys.executable, *sys.orig_argv[1:]]
