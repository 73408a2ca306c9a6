"""Runs one command inside a temporary sandbox: for `--target sandbox`, Locust itself is started again inside it.

    locust … --target sandbox ─▶ sandbox up ─▶ the same command line, inside ─▶ its exit code ─▶ sandbox down

So requests go directly to the cluster's network, without a tunnel.
"""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence

from loadgen.base.console import Say
from loadgen.base.errors import StackError
from loadgen.base.processes import Child, children_of
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox.build.build import find
from loadgen.sandbox.commands import DEFAULT_NODES, INSIDE, Sandbox
from loadgen.sandbox.config import SandboxConfig, SandboxHolder
from loadgen.sandbox.forward import PortForward
from loadgen.sandbox.interruption import interruptible

_POLL_S = 0.5
_KILLED = 128 + signal.SIGKILL
_EXIT_WITHIN_S = 5.0


def run_inside(argv: Sequence[str], *, say: Say, web_port: int | None) -> int:
    """Run a command inside a temporary sandbox; return its exit code.

    Args:
        argv: The command line.
        say: Called with each step of the start-up.
        web_port: Port of a web UI inside, which is forwarded from the same port outside; None without one.

    Raises:
        LoadgenError: the sandbox did not become ready or exited, or the port is in use.
    """
    _remove_leftovers()
    sandbox = Sandbox.named(f"run-{uuid.uuid4().hex[:8]}")
    interrupted = "interrupted while the sandbox started: everything is removed, and no run has started"
    with interruptible(interrupted):
        tools = find(progress=say)
    config = SandboxConfig(
        name=sandbox.name, folder=sandbox.folder, tools=tools, nodes=DEFAULT_NODES, emulated=True, of_run=True
    )
    with PortForward(sandbox, web_port):  # first, so that a port in use fails before the sandbox starts
        with interruptible(interrupted):
            find_tritonserver(progress=say)  # now, as nothing can be downloaded inside
            unshare = sandbox.up(config, say=say, attached=True)
        return _run_and_clean_up(sandbox, unshare, argv)


def _run_and_clean_up(sandbox: Sandbox, unshare: Child, argv: Sequence[str]) -> int:
    exit_reason = ""
    try:
        code = _run(sandbox.command([*argv]), sandbox.name)
        # when a sandbox exits, the kernel kills its processes first, and `unshare` exits a moment later
        if unshare.wait(_EXIT_WITHIN_S if code == _KILLED else 0.0) is not None:
            exit_reason = sandbox.exit_reason()
    finally:
        (sandbox.remove_all_but_logs if exit_reason else sandbox.delete)()
    if exit_reason:
        raise StackError(f"{exit_reason}; analyze the recorded part of the run with `loadgen report`")
    return code


def _remove_leftovers() -> None:
    """Remove the folders of sandboxes whose runs were killed; their processes were killed with the runs."""
    for sandbox in Sandbox.all():
        saved = SandboxHolder.read(sandbox.folder)
        if saved is not None and saved.of_run and sandbox.holder() is None:
            sandbox.delete()


def _run(command: list[str], name: str) -> int:
    # in its own session: Ctrl-C in the terminal reaches only this process, which forwards it once
    process = subprocess.Popen(
        command, env={**os.environ, INSIDE: name}, stdin=subprocess.DEVNULL, start_new_session=True
    )

    def forward_signal(number: int, _: object) -> None:
        for child in children_of(process.pid):  # the command that nsenter waits for
            os.kill(child, number)

    before = {number: signal.signal(number, forward_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            try:
                return _exit_code(process.wait(_POLL_S))
            except subprocess.TimeoutExpired:
                continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        process.kill()
        process.wait()


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def same_command() -> list[str]:
    """Return the command line of this process."""
    return [sys.executable, *sys.orig_argv[1:]]
