"""Creates a container's namespaces and root filesystem, then executes the container's program.

This module runs as a script, with only the standard library:

    python -I -S launcher.py pause SPEC STARTED GO ERROR    holds a pod's network, host name and IPC, then sleeps
    python -I -S launcher.py run SPEC STARTED GO ERROR      becomes the first process of a container
    python -I -S launcher.py exec SPEC STARTED GO ERROR     becomes a further process of a running container

SPEC is a JSON file; the others are file descriptors of pipes. `run` forks, so that the container gets its own PID
namespace, whose processes all die with the first one; `exec` forks to enter that namespace. The launcher writes the
fork's process id to STARTED and exits. The fork waits for a byte from GO, which the kubelet writes when it has become
the fork's parent, and asks the kernel to be killed with the kubelet. An error is written to ERROR as one sentence; if
ERROR is closed without one, the program was executed.
"""

# importing pathlib and contextlib would double the start time of every container
# ruff: noqa: PTH102, PTH106, PTH108, PTH112, PTH114, PTH115, PTH119, PTH120, PTH123, PTH208, PTH211, SIM105, S606

import ctypes
import errno
import json
import os
import select
import signal
import stat
import sys
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS, _CLONE_NEWPID = 0x20000, 0x20000000
_CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWNET = 0x4000000, 0x8000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_NR_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, 155)


class LaunchError(Exception):
    """The container cannot be created."""


def _check(result: int, action: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise LaunchError(f"{action}: {os.strerror(number)}")


def make_mounts_private(memory: str) -> None:
    """Move this process into its own mount namespace, which removes its mounts at its exit, and mount a tmpfs."""
    unshare(_CLONE_NEWNS)
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", memory, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=700")


def die_with_parent() -> None:
    """Ask the kernel to send SIGKILL when the parent exits."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system, or bind-mount a path."""
    encoded = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    result = _LIBC.mount(*encoded, ctypes.c_ulong(flags), None if data is None else data.encode())
    _check(result, f"mount {source} on {target}")


def unmount(target: str) -> None:
    """Unmount a path lazily, even while it is in use."""
    _check(_LIBC.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _check(_LIBC.unshare(flags), "unshare")


def join(pid: int, *kinds: str) -> None:
    """Move this process into the namespaces of another process."""
    # all are opened first: in another PID namespace, /proc may not show the process
    handles = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for handle, kind in zip(handles, kinds, strict=True):
        _check(_LIBC.setns(handle, 0), f"enter the {kind} namespace of {pid}")
        os.close(handle)


class RootFilesystem:
    """A container's root filesystem: a tmpfs with bind mounts of every entry of the machine's root.

    To mount at a path that does not exist, its parent folder is replaced by a tmpfs with bind mounts of the folder's
    entries. The missing entry is then created in that tmpfs, and nothing is created on the machine's disk.
    """

    def __init__(self, root: str, hidden: str) -> None:
        self.root = root
        self._writable: set[str] = {"/"}  # folders in which mount points can be created
        mount("tmpfs", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=16m")
        for name in os.listdir("/"):
            if name != "proc":
                self._bind("/" + name, root + "/" + name)
        os.mkdir(root + "/proc", 0o555)
        # otherwise the container would keep the mounts of other pods alive, and its root would contain itself
        for path in (hidden, root):
            unmount(root + path)

    def bind(self, source: str, path: str, read_only: bool = False) -> None:
        """Bind-mount a file or folder of the machine at a path of the container."""
        is_folder = os.path.isdir(source)
        target, resolved = self._mount_point(path, is_folder)
        mount(source, target, None, _MS_BIND | _MS_REC)
        if read_only:
            # a remount in a user namespace must keep the locked flags
            locked = os.statvfs(target).f_flag & (_MS_NOSUID | _MS_NODEV | _MS_NOEXEC | 1024 | 2048)
            mount(None, target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | locked)
        if is_folder:
            self._writable.add(resolved)  # as in container runtimes, mount points below are created in the volume

    def enter(self) -> None:
        """Make it the root of this process and detach the machine's root."""
        mount("proc", self.root + "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        os.chdir(self.root)
        _check(_LIBC.syscall(_NR_PIVOT_ROOT, b".", b"."), "pivot_root")
        _check(_LIBC.umount2(b".", _MNT_DETACH), "detach the old root")
        os.chdir("/")

    def _bind(self, source: str, target: str) -> None:
        """Create a mount point or link for an entry of the machine, and bind-mount the entry."""
        mode = os.lstat(source).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
            return
        if stat.S_ISDIR(mode):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(source, target, None, _MS_BIND | _MS_REC)

    def _mount_point(self, path: str, is_folder: bool) -> tuple[str, str]:
        """Create the mount point for a path of the container if it is missing.

        Returns:
            The mount point in the machine's root, and the path in the container with its links resolved.
        """
        resolved = self._resolve(path)
        target = self.root + resolved
        parent = os.path.dirname(resolved)
        if os.path.lexists(target) and os.path.isdir(target) != is_folder:
            if parent not in self._writable:
                self._replace_by_tmpfs(parent, leave_out=os.path.basename(resolved))
            elif not os.path.ismount(target):
                os.unlink(target) if not os.path.isdir(target) else os.rmdir(target)
            else:
                raise LaunchError(f"{path} is already a mount of another type")
        if not os.path.lexists(target):
            self._make_writable(parent)
            if is_folder:
                os.mkdir(target)
            else:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        return target, resolved

    def _make_writable(self, folder: str) -> None:
        """Make a folder writable without writing to the machine's disk; create it if it is missing."""
        if folder in self._writable:
            return
        if os.path.isdir(self.root + folder):
            self._replace_by_tmpfs(folder)
            return
        self._make_writable(os.path.dirname(folder))
        if os.path.lexists(self.root + folder):
            raise LaunchError(f"{folder} is not a folder")
        os.mkdir(self.root + folder, 0o755)
        self._writable.add(folder)

    def _replace_by_tmpfs(self, folder: str, leave_out: str | None = None) -> None:
        """Mount a tmpfs on a folder and bind-mount the folder's entries into it."""
        target = self.root + folder
        handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        old = f"/proc/self/fd/{handle}"
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        names = os.listdir(handle)
        mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode={mode:o},size=16m")
        for name in names:
            if name != leave_out:
                try:
                    self._bind(f"{old}/{name}", f"{target}/{name}")
                except FileNotFoundError:
                    pass  # deleted in the meantime
        os.close(handle)
        self._writable.add(folder)

    def _resolve(self, path: str) -> str:
        """Return the path with symbolic links resolved inside the new root."""
        resolved, remaining, links = "", [part for part in path.split("/") if part], 0
        while remaining:
            part = remaining.pop(0)
            if part == ".":
                continue
            if part == "..":
                resolved = os.path.dirname(resolved) if resolved else ""
                resolved = "" if resolved == "/" else resolved
                continue
            current = f"{resolved}/{part}"
            if os.path.islink(self.root + current):
                links += 1
                if links > 40:
                    raise LaunchError(f"{path} has too many symbolic links")
                link = os.readlink(self.root + current)
                remaining = [each for each in link.split("/") if each] + remaining
                resolved = "" if link.startswith("/") else resolved
                continue
            resolved = current
        return resolved or "/"


def pause(spec: dict[str, Any], started: int, go: int) -> None:
    """Create a pod's namespaces, wait until the kubelet has connected the network, and hold them by sleeping."""
    die_with_parent()
    unshare(_CLONE_NEWUTS | _CLONE_NEWIPC | (_CLONE_NEWNET if spec["network"] else 0))
    name = spec["hostname"].encode()
    _check(_LIBC.sethostname(name, len(name)), "set the host name")
    os.write(started, b"%d\n" % os.getpid())
    if os.read(go, 1) != b"+":
        os._exit(0)
    if spec["network"]:
        read_end, write_end = os.pipe()
        os.write(write_end, spec["network"]["batch"].encode())
        os.close(write_end)
        ip = spec["network"]["ip"]
        child = os.posix_spawn(ip, [ip, "-batch", "-"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, read_end, 0)])
        _, status = os.waitpid(child, 0)
        os.close(read_end)
        if status:
            raise LaunchError("`ip` could not set up the network in the pod's namespace")
    os.write(started, b"ready\n")
    os.execv(spec["sleep"][0], spec["sleep"])


def run(spec: dict[str, Any], started: int, go: int) -> None:
    """Become the first process of a container."""
    die_with_parent()
    join(spec["pause_pid"], *spec["joins"])
    unshare(_CLONE_NEWNS | _CLONE_NEWPID)
    _fork(started, go)
    root = RootFilesystem(spec["root"], spec["hidden"])
    for each in spec["mounts"]:
        root.bind(each["source"], each["path"], each.get("read_only", False))
    root.enter()
    _execute_program(spec)


def execute(spec: dict[str, Any], started: int, go: int) -> None:
    """Become a further process of a container."""
    die_with_parent()
    join(spec["pid"], "uts", "ipc", "net", "pid", "mnt")
    _fork(started, go)
    if spec.get("tty"):
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    _execute_program(spec)


def _fork(started: int, go: int) -> None:
    """Continue as a fork in the new PID namespace, which leads a session and dies with the kubelet."""
    child = os.fork()
    if child:
        os.write(started, b"%d\n" % child)
        os._exit(0)
    if os.read(go, 1) != b"+":
        os._exit(0)
    die_with_parent()
    if _is_closed(go):
        os._exit(0)  # the kubelet exited before prctl()
    os.setsid()


def _execute_program(spec: dict[str, Any]) -> None:
    """Set the working directory and execute the program with its environment."""
    env, argv = spec["env"], spec["argv"]
    try:
        os.chdir(spec["workdir"])
    except OSError as error:
        raise LaunchError(
            f"chdir to cwd ({json.dumps(spec['workdir'])}) failed: {os.strerror(error.errno or 0)}"
        ) from error
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        if error.errno == errno.ENOENT and "/" not in argv[0]:
            raise LaunchError(f'exec: "{argv[0]}": executable file not found in $PATH') from error
        raise LaunchError(f'exec: "{argv[0]}": {os.strerror(error.errno or 0).lower()}') from error


def _is_closed(handle: int) -> bool:
    """Return whether the other end of a pipe is closed."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def main() -> None:
    """Run the mode of the first argument."""
    mode, source, *handles = sys.argv[1:]
    started, go, error_pipe = map(int, handles)
    for handle in (started, go, error_pipe):
        os.set_inheritable(handle, False)
    try:
        with open(source) as file:
            spec = json.load(file)
        {"pause": pause, "run": run, "exec": execute}[mode](spec, started, go)
    except (LaunchError, OSError) as error:
        os.write(error_pipe, str(error).encode())
        os._exit(128)


if __name__ == "__main__":
    main()
