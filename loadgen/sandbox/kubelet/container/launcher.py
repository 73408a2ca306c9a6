"""Turns itself into a container's process: run alone, with nothing but the standard library.

    python -I -S container.py pause SPEC STARTED GO FAULT   holds a pod's network, host name and IPC, then sleeps
    python -I -S container.py run SPEC STARTED GO FAULT     the first process of a container
    python -I -S container.py exec SPEC STARTED GO FAULT    one more process in a running container

SPEC is a JSON file; the others are file descriptors of pipes. `run` forks, so that the container gets a PID namespace
of its own and all of it dies with its first process; `exec` forks to enter that namespace. The fork's id is told by
STARTED, then the launcher ends. The fork waits for a byte from GO, which comes when the kubelet has become its parent,
and asks the kernel to be killed with it. Faults are told by FAULT as one sentence; its end without a word means that
the program was executed.
"""

# pathlib and contextlib would double the start time of every container; programs are started without a shell
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


class Fault(Exception):
    """The container cannot be made; the sentence is for its status and event."""


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise Fault(f"{what}: {os.strerror(number)}")


def own_mounts(memory: str) -> None:
    """Give this process a mount namespace of its own, so that its mounts go with it, and a tmpfs for its pods."""
    unshare(_CLONE_NEWNS)
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", memory, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=700")


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL as soon as the parent is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Make something visible at a place of this mount namespace."""
    coded = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    result = _LIBC.mount(*coded, ctypes.c_ulong(flags), None if data is None else data.encode())
    _checked(result, f"mount {source} on {target}")


def unmount(target: str) -> None:
    """Unmount what is mounted at a place, also while it is in use."""
    _checked(_LIBC.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones of their kinds."""
    _checked(_LIBC.unshare(flags), "unshare")


def join(pid: int, *kinds: str) -> None:
    """Enter namespaces of a process; opened first, as /proc of another PID namespace may not show it."""
    handles = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for handle, kind in zip(handles, kinds, strict=True):
        _checked(_LIBC.setns(handle, 0), f"enter the {kind} namespace of {pid}")
        os.close(handle)


class Root:
    """A container's root: an empty tmpfs that shows every entry of the machine's root, and room for any mount path.

    A path that does not exist is made by *exploding* the folder that should hold it: the folder becomes a tmpfs that
    shows each of its old entries, so the new one is created in memory and nothing on the machine's disk.
    """

    def __init__(self, at: str, hidden: str) -> None:
        self.at = at
        self._ours: set[str] = {"/"}  # folders that are tmpfs of our own: entries can be created in them
        mount("tmpfs", at, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755,size=16m")
        for name in os.listdir("/"):
            if name != "proc":
                self._show("/" + name, at + "/" + name)
        os.mkdir(at + "/proc", 0o555)
        # else this container would keep alive what the kubelet mounted for other pods, and see its own root in itself
        for path in (hidden, at):
            unmount(at + path)

    def place(self, source: str, path: str, read_only: bool = False) -> None:
        """Show a file or folder of the machine at a path of the container."""
        folder = os.path.isdir(source)
        target, real = self._room(path, folder)
        mount(source, target, None, _MS_BIND | _MS_REC)
        if read_only:
            # a remount may not drop what the mount is locked to, so it keeps the flags it has
            kept = os.statvfs(target).f_flag & (_MS_NOSUID | _MS_NODEV | _MS_NOEXEC | 1024 | 2048)
            mount(None, target, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | kept)
        if folder:
            self._ours.add(real)  # a mount below it makes its place in the volume, as container runtimes do

    def enter(self) -> None:
        """Make it the root of this process, and let go of the machine's."""
        mount("proc", self.at + "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        os.chdir(self.at)
        _checked(_LIBC.syscall(_NR_PIVOT_ROOT, b".", b"."), "pivot_root")
        _checked(_LIBC.umount2(b".", _MNT_DETACH), "let go of the old root")
        os.chdir("/")

    def _show(self, source: str, target: str) -> None:
        """One entry of the machine at a new place."""
        mode = os.lstat(source).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
            return
        if stat.S_ISDIR(mode):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(source, target, None, _MS_BIND | _MS_REC)

    def _room(self, path: str, folder: bool) -> tuple[str, str]:
        """The place in the new root for a mount on a path of the container, created if need be."""
        real = self._resolved(path)
        inside = self.at + real
        parent = os.path.dirname(real)
        if os.path.lexists(inside) and os.path.isdir(inside) != folder:
            if parent not in self._ours:
                self._explode(parent, leave_out=os.path.basename(real))
            elif not os.path.ismount(inside):
                os.unlink(inside) if not os.path.isdir(inside) else os.rmdir(inside)
            else:
                raise Fault(f"{path} is mounted already as something else")
        if not os.path.lexists(inside):
            self._folder(parent)
            if folder:
                os.mkdir(inside)
            else:
                os.close(os.open(inside, os.O_CREAT | os.O_WRONLY, 0o644))
        return inside, real

    def _folder(self, real: str) -> None:
        """See that a folder exists in which entries can be created without touching the disk."""
        if real in self._ours:
            return
        if os.path.isdir(self.at + real):
            self._explode(real)
            return
        self._folder(os.path.dirname(real))
        if os.path.lexists(self.at + real):
            raise Fault(f"{real} is not a folder")
        os.mkdir(self.at + real, 0o755)
        self._ours.add(real)

    def _explode(self, real: str, leave_out: str | None = None) -> None:
        inside = self.at + real
        keep = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
        old = f"/proc/self/fd/{keep}"
        mode = stat.S_IMODE(os.fstat(keep).st_mode)
        names = os.listdir(keep)
        mount("tmpfs", inside, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode={mode:o},size=16m")
        for name in names:
            if name != leave_out:
                try:
                    self._show(f"{old}/{name}", f"{inside}/{name}")
                except FileNotFoundError:
                    pass  # it went while we looked
        os.close(keep)
        self._ours.add(real)

    def _resolved(self, path: str) -> str:
        """The path with the symbolic links of the new root followed inside of it."""
        done, rest, links = "", [part for part in path.split("/") if part], 0
        while rest:
            part = rest.pop(0)
            if part == ".":
                continue
            if part == "..":
                done = os.path.dirname(done) if done else ""
                done = "" if done == "/" else done
                continue
            here = f"{done}/{part}"
            if os.path.islink(self.at + here):
                links += 1
                if links > 40:
                    raise Fault(f"{path} has too many symbolic links")
                aim = os.readlink(self.at + here)
                rest = [each for each in aim.split("/") if each] + rest
                done = "" if aim.startswith("/") else done
                continue
            done = here
        return done or "/"


def pause(spec: dict[str, Any], started: int, go: int, fault: int) -> None:
    """Hold a pod's namespaces: made here, wired by the kubelet, kept by a program that sleeps."""
    die_with_parent()
    unshare(_CLONE_NEWUTS | _CLONE_NEWIPC | (_CLONE_NEWNET if spec["network"] else 0))
    name = spec["hostname"].encode()
    _checked(_LIBC.sethostname(name, len(name)), "set the host name")
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
            raise Fault("ip could not set up the pod's end of its network")
    os.write(started, b"ready\n")
    os.execv(spec["sleep"][0], spec["sleep"])


def run(spec: dict[str, Any], started: int, go: int, fault: int) -> None:
    """Become the first process of a container."""
    die_with_parent()
    join(spec["pause_pid"], *spec["joins"])
    unshare(_CLONE_NEWNS | _CLONE_NEWPID)
    _hand_over(started, go)
    root = Root(spec["root"], spec["hidden"])
    for each in spec["mounts"]:
        root.place(each["source"], each["path"], each.get("read_only", False))
    root.enter()
    _become(spec)


def execute(spec: dict[str, Any], started: int, go: int, fault: int) -> None:
    """Become one more process in a container."""
    die_with_parent()
    join(spec["pid"], "uts", "ipc", "net", "pid", "mnt")
    _hand_over(started, go)
    if spec.get("tty"):
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    _become(spec)


def _hand_over(started: int, go: int) -> None:
    """Go on as a fork in the new PID namespace: a child of the kubelet that leads a session and dies with it."""
    child = os.fork()
    if child:
        os.write(started, b"%d\n" % child)
        os._exit(0)
    if os.read(go, 1) != b"+":
        os._exit(0)
    die_with_parent()
    if _gone(go):
        os._exit(0)  # the kubelet went before the kernel was asked
    os.setsid()


def _become(spec: dict[str, Any]) -> None:
    """Take the environment and working directory, and execute the program."""
    env, argv = spec["env"], spec["argv"]
    try:
        os.chdir(spec["workdir"])
    except OSError as error:
        raise Fault(f"chdir to cwd ({json.dumps(spec['workdir'])}) failed: {os.strerror(error.errno or 0)}") from error
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        if error.errno == errno.ENOENT and "/" not in argv[0]:
            raise Fault(f'exec: "{argv[0]}": executable file not found in $PATH') from error
        raise Fault(f'exec: "{argv[0]}": {os.strerror(error.errno or 0).lower()}') from error


def _gone(handle: int) -> bool:
    """Whether the other end of a pipe is closed."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def main() -> None:
    """Do what the first argument says."""
    mode, source, *handles = sys.argv[1:]
    started, go, fault = map(int, handles)
    for handle in (started, go, fault):
        os.set_inheritable(handle, False)
    try:
        with open(source) as file:
            spec = json.load(file)
        {"pause": pause, "run": run, "exec": execute}[mode](spec, started, go, fault)
    except (Fault, OSError) as error:
        os.write(fault, str(error).encode())
        os._exit(128)


if __name__ == "__main__":
    main()
