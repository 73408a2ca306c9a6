"""The world of a sandbox: user, network, mount and process namespaces of its own, and the way into them.

    unshare ─▶ init (process 1 of the world) ─▶ plane ─▶ etcd, kube-apiserver, … kubelets ─▶ pods

When process 1 dies, however it dies, the kernel ends every process of the world, and with the last of them its network
and its mounts go. `unshare --kill-child` ties process 1 to `unshare`, and the kernel's parent-death signal ties that to
whoever started it: so nothing can be left behind.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.base.processes import Child, children_of, spawn

_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_AS_USER = ("--user", "--map-root-user")
_TRY_TIMEOUT_S = 20.0


def way_in() -> list[str]:
    """Return the command that makes a world, without the program that becomes its process 1.

    Raises:
        StackError: this system lets nobody make namespaces; the sentence says what allows it.
    """
    unshare = shutil.which("unshare", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if unshare is None:
        raise StackError("the sandbox needs `unshare`: install the package util-linux and try again")
    said = ""
    # as a user first, also for root: then the sandbox can do no more than a user could
    for options in (_AS_USER, ()) if os.geteuid() == 0 else (_AS_USER,):
        command = [unshare, *options, *_NAMESPACES]
        tried = subprocess.run(
            [*command, "/bin/sh", "-c", "true"], capture_output=True, text=True, timeout=_TRY_TIMEOUT_S, check=False
        )
        if tried.returncode == 0:
            return command
        said = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
    other_way = "in a container, start that with --privileged" if os.geteuid() == 0 else "run it as root"
    raise StackError(
        f"this system lets this user make no namespaces ({said}): allow them with `sysctl -w {_switch()}`, "
        f"or {other_way}, and try again"
    )


def create(way: Sequence[str], config: Path, *, log: Path, attached: bool) -> Child:
    """Start a world whose plane is described by a file.

    Args:
        way: As `way_in` returns it.
        config: As `plane` reads it.
        log: Where process 1 and the plane write.
        attached: Whether the world is to end with this process, however that ends.

    Raises:
        StackError: it cannot be started.
    """
    command = [*way, sys.executable, "-m", "loadgen.sandbox.plane.init", str(config)]
    return spawn(command, log=log, parent_death_signal=signal.SIGKILL if attached else None)


def first_process(unshare_pid: int) -> int | None:
    """Process id, as seen from outside, of process 1 of the world that an `unshare` holds; None once it is gone."""
    return next(iter(children_of(unshare_pid)), None)


def entry(init_pid: int) -> list[str]:
    """The command that runs another one inside the world with this process 1.

    Raises:
        StackError: `nsenter` is missing.
    """
    nsenter = shutil.which("nsenter", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if nsenter is None:
        raise StackError("the sandbox needs `nsenter`: install the package util-linux and try again")
    command = [nsenter, f"--target={init_pid}", "--net", "--mount", "--pid", f"--wd={Path.cwd()}"]
    if Path(f"/proc/{init_pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink():
        command += ["--user", "--preserve-credentials"]
    return command


def run_inside(init_pid: int, argv: Sequence[str], **options: object) -> "subprocess.CompletedProcess[str]":
    """Run a command inside a world to its end; options as of `subprocess.run`."""
    return subprocess.run([*entry(init_pid), "--", *argv], **options)  # type: ignore[call-overload,no-any-return]


def _switch() -> str:
    """The setting that forbids it, as far as this kernel shows one."""
    for name, value in (
        ("kernel.apparmor_restrict_unprivileged_userns", "0"),
        ("kernel.unprivileged_userns_clone", "1"),
    ):
        file = Path("/proc/sys") / name.replace(".", "/")
        if file.exists() and file.read_text().strip() != value:
            return f"{name}={value}"
    return "user.max_user_namespaces=15000"
