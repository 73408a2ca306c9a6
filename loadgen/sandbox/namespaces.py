"""Creates the Linux namespaces of a sandbox (user, network, mount and PID), and runs commands inside them.

    unshare ─▶ init (process 1 of the PID namespace) ─▶ control plane ─▶ etcd, kube-apiserver, … kubelets ─▶ pods

When process 1 exits, the kernel kills all processes of the PID namespace, and their network and mounts are removed with
the last of them. `unshare --kill-child` kills process 1 when `unshare` exits, and the parent-death signal kills
`unshare` when the process that started it exits. So no process can be left behind.
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


def unshare_command() -> list[str]:
    """Return the command that creates the namespaces, without the program that becomes process 1.

    Raises:
        StackError: this system does not allow it; the message names the setting to change.
    """
    unshare = shutil.which("unshare", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if unshare is None:
        raise StackError("the sandbox needs `unshare`: install the package util-linux and try again")
    reason = ""
    # root also tries a user namespace first, in which the sandbox has no more permissions than a user
    for options in (_AS_USER, ()) if os.geteuid() == 0 else (_AS_USER,):
        command = [unshare, *options, *_NAMESPACES]
        result = subprocess.run(
            [*command, "/bin/sh", "-c", "true"], capture_output=True, text=True, timeout=_TRY_TIMEOUT_S, check=False
        )
        if result.returncode == 0:
            return command
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
    alternative = "start the container with --privileged" if os.geteuid() == 0 else "run it as root"
    raise StackError(
        f"this system does not allow this user to create namespaces ({reason}): allow them with "
        f"`sysctl -w {_sysctl_to_change()}`, or {alternative}, and try again"
    )


def start_init(unshare: Sequence[str], config: Path, *, log: Path, attached: bool) -> Child:
    """Create the namespaces and start process 1 and the control plane in them.

    Args:
        unshare: The command from `unshare_command`.
        config: The sandbox's configuration file.
        log: Log of process 1 and the control plane.
        attached: Whether the sandbox ends with this process, however this process ends.

    Raises:
        StackError: it could not be started.
    """
    command = [*unshare, sys.executable, "-m", "loadgen.sandbox.plane.init", str(config)]
    return spawn(command, log=log, parent_death_signal=signal.SIGKILL if attached else None)


def init_pid(unshare_pid: int) -> int | None:
    """Return the process id, outside of the sandbox, of process 1; None once it has exited."""
    return next(iter(children_of(unshare_pid)), None)


def nsenter_command(pid: int) -> list[str]:
    """Return the command that runs another one in the namespaces of process 1.

    Raises:
        StackError: `nsenter` is missing.
    """
    nsenter = shutil.which("nsenter", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")
    if nsenter is None:
        raise StackError("the sandbox needs `nsenter`: install the package util-linux and try again")
    command = [nsenter, f"--target={pid}", "--net", "--mount", "--pid", f"--wd={Path.cwd()}"]
    if Path(f"/proc/{pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink():
        command += ["--user", "--preserve-credentials"]
    return command


def _sysctl_to_change() -> str:
    """Return the sysctl that forbids namespaces and the value that allows them, as far as the kernel shows it."""
    for name, value in (
        ("kernel.apparmor_restrict_unprivileged_userns", "0"),
        ("kernel.unprivileged_userns_clone", "1"),
    ):
        file = Path("/proc/sys") / name.replace(".", "/")
        if file.exists() and file.read_text().strip() != value:
            return f"{name}={value}"
    return "user.max_user_namespaces=15000"
