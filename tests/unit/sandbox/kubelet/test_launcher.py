"""The launcher and the pod network with real processes, in unprivileged namespaces."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

UNSHARE = [
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
PRELUDE = """
import asyncio, json, os, signal, subprocess, sys, time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from loadgen.sandbox.kubelet.container import launcher
from loadgen.sandbox.kubelet.container.process import Process, StartError, start_pause, start_process
from loadgen.base.processes import adopt_orphans
at = Path(sys.argv[1])
for name in ("root", "memory"): (at / name).mkdir()
launcher.make_mounts_private(str(at / "memory"))
adopt_orphans()
pause = None
async def create_pod(network=None, connect=None):
    global pause
    spec = {"hostname": "web-1", "network": network, "sleep": ["/usr/bin/sleep", "infinity"]}
    with (at / "pause.log").open("ab") as log:
        pause = await start_pause(spec, at / "pause.json", log.fileno(), connect)
async def start(*argv, mode="run", mounts=(), env=None, workdir="/", **more):
    spec = {"joins": ["uts", "ipc", "net"], "root": str(at / "root"), "hidden": str(at / "memory"),
            "mounts": list(mounts), "argv": list(argv), "env": {"PATH": os.environ["PATH"], **(env or {})},
            "workdir": workdir, **more}
    if mode == "run":
        spec["pause_pid"] = pause.pid
    with (at / "log").open("ab") as log, open(os.devnull) as null:
        return await start_process(mode, spec, at / "spec.json", (null.fileno(), log.fileno(), log.fileno()))
async def run(*argv, **more):
    code = await (await start(*argv, **more)).wait()
    return code, (at / "log").read_text()
"""


def namespaces_allowed() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=20, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not namespaces_allowed(), reason="this system forbids user namespaces, or lacks iproute2"
)


def in_namespaces(tmp_path: Path, body: str) -> Any:
    """Run the body of a coroutine in new namespaces, as a kubelet, and return its result."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    code = f"{PRELUDE}\nasync def main():\n{indented}\nprint(json.dumps(asyncio.run(main())))"
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_exit_code_and_output(tmp_path: Path) -> None:
    """A container's exit code and output are those of its command."""
    body = 'await create_pod()\nreturn await run("sh", "-c", "echo out; echo err >&2; exit 3")'
    assert in_namespaces(tmp_path, body) == [3, "out\nerr\n"]


def test_environment_host_name_and_workdir(tmp_path: Path) -> None:
    """A container has only its own variables, host name and working directory."""
    script = "env | grep -v -e PWD -e PATH -e _=; hostname; pwd"
    body = f'await create_pod()\nreturn await run("sh", "-c", "{script}", env={{"A": "1"}}, workdir="/tmp")'
    assert in_namespaces(tmp_path, body) == [0, "A=1\nweb-1\n/tmp\n"]


def test_first_process_is_pid_1(tmp_path: Path) -> None:
    """A container has its own PID namespace, in which its command is process 1."""
    body = 'await create_pod()\nreturn await run("sh", "-c", "echo $$; ls /proc | grep -c ^[0-9]")'
    code, log = in_namespaces(tmp_path, body)
    assert (code, log.splitlines()[0]) == (0, "1")
    assert int(log.splitlines()[1]) <= 4


def test_container_dies_with_its_first_process(tmp_path: Path) -> None:
    """All processes of a container, including other sessions, die with its first process."""
    body = """
await create_pod()
process = await start("sh", "-c", "setsid sleep 77 & sleep 78")
await asyncio.sleep(0.2)
def count():
    files = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    return sum(b"sleep\\x007" in file.read_bytes() for file in files)
before = count()
process.send(signal.SIGKILL)
code = await process.wait()
await asyncio.sleep(0.1)
return before, code, count()
"""
    assert in_namespaces(tmp_path, body) == [2, -9, 0]


def test_container_dies_with_its_kubelet(tmp_path: Path) -> None:
    """When the kubelet is killed, its containers and their descendants are killed with it."""
    body = """
child = os.fork()
if not child:
    os.execv(sys.executable, [sys.executable, "-c", (at / "node.py").read_text(), str(at / "other")])
deadline = time.monotonic() + 20
def sleeps(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith((b"sleep", b"/usr/bin/sleep"))
    except OSError:
        return False  # it has just ended
def count():
    return sum(sleeps(pid) for pid in os.listdir("/proc") if pid.isdigit())
while (before := count()) < 3 and time.monotonic() < deadline:
    await asyncio.sleep(0.02)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
await asyncio.sleep(0.2)
return before, count()
"""
    node = """
async def main():
    await create_pod()
    await start("sh", "-c", "sleep 77 & sleep 78")
    await asyncio.sleep(30)
asyncio.run(main())
"""
    (tmp_path / "node.py").write_text(PRELUDE + node)
    (tmp_path / "other").mkdir()
    assert in_namespaces(tmp_path, body) == [3, 0]


@pytest.mark.parametrize("path", ["/no/such/folder", "/etc/no/such", "/opt/x", "/tmp", "/dev/some/thing"])
def test_any_mount_path(tmp_path: Path, path: str) -> None:
    """A volume can be mounted at any path, existing or not, without creating anything on the machine's disk."""
    existed = Path(path).exists()
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "file").write_text("hello")
    mounts = f'[{{"source": str(at / "volume"), "path": "{path}"}}]'
    body = f'await create_pod()\nreturn await run("cat", "{path}/file", mounts={mounts})'
    assert in_namespaces(tmp_path, body) == [0, "hello"]
    assert Path(path).exists() is existed


def test_mount_of_a_file_keeps_the_other_files(tmp_path: Path) -> None:
    """A file can be mounted into a folder of the machine (subPath), whose other files stay visible."""
    (tmp_path / "one").write_text("mine\n")
    mounts = (
        '[{"source": str(at / "one"), "path": "/etc/new/one"}, {"source": str(at / "one"), "path": "/etc/hostname"}]'
    )
    script = "cat /etc/new/one /etc/hostname; test -e /etc/passwd"
    body = f'await create_pod()\nreturn await run("sh", "-c", "{script}", mounts={mounts})'
    assert in_namespaces(tmp_path, body) == [0, "mine\nmine\n"]
    assert not Path("/etc/new").exists()


def test_read_only_mount(tmp_path: Path) -> None:
    """A read-only mount is not writable, while another mount of the same volume is."""
    (tmp_path / "v").mkdir()
    mounts = '[{"source": str(at / "v"), "path": "/a", "read_only": True}, {"source": str(at / "v"), "path": "/b"}]'
    script = "touch /b/x && ! touch /a/y 2>/dev/null && ls /a"
    body = f'await create_pod()\nreturn await run("sh", "-c", "{script}", mounts={mounts})'
    assert in_namespaces(tmp_path, body) == [0, "x\n"]


def test_memory_of_other_pods_is_hidden(tmp_path: Path) -> None:
    """A container does not see the folder in memory with the files of other pods."""
    body = 'await create_pod()\n(at / "memory" / "secret").touch()\nreturn await run("ls", str(at / "memory"))'
    assert in_namespaces(tmp_path, body) == [0, ""]


@pytest.mark.parametrize(
    ("argv", "workdir", "message"),
    [
        ('"nothere"', "/", 'exec: "nothere": executable file not found in $PATH'),
        ('"/no/such"', "/", 'exec: "/no/such": no such file or directory'),
        ('"/etc/passwd"', "/", 'exec: "/etc/passwd": permission denied'),
        ('"true"', "/no", 'chdir to cwd ("/no") failed: No such file or directory'),
    ],
)
def test_command_that_cannot_be_started(tmp_path: Path, argv: str, workdir: str, message: str) -> None:
    """The error has the message of a container runtime."""
    body = f"""
await create_pod()
try:
    await start({argv}, workdir={workdir!r})
except StartError as error:
    return str(error)
"""
    assert in_namespaces(tmp_path, body) == message


def test_exec_joins_the_container(tmp_path: Path) -> None:
    """exec runs a further process in the container's namespaces and root, with its own exit code."""
    (tmp_path / "v").mkdir()
    body = """
await create_pod()
first = await start("sleep", "77", mounts=[{"source": str(at / "v"), "path": "/only/here"}])
return await run("sh", "-c", "hostname; test -d /only/here; test $$ -gt 1 && exit 5", mode="exec", pid=first.pid)
"""
    assert in_namespaces(tmp_path, body) == [5, "web-1\n"]


def test_sigterm_needs_a_handler_in_process_1(tmp_path: Path) -> None:
    """As in any container, process 1 without a handler ignores SIGTERM and only SIGKILL ends it."""
    body = """
await create_pod()
handling = await start("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done")
ignoring = await start("sleep", "77")
await asyncio.sleep(0.2)
for each in (handling, ignoring): each.send(signal.SIGTERM)
exited = [await each.exited_within(0.5) for each in (handling, ignoring)]
ignoring.send(signal.SIGKILL)
return exited, handling.code, await ignoring.wait()
"""
    assert in_namespaces(tmp_path, body) == [[True, False], 7, -9]


NODE = """
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.network import VethPair, pod_ip_commands
import shutil
files = ("ca_file", "cert_file", "key_file", "serving_cert_file", "serving_key_file", "data_dir", "logs_dir")
config = KubeletConfig(node="n", ip="172.30.0.11", pod_cidr="10.244.1.0/24", capacity={}, server="x",
                       ip_program=shutil.which("ip"), images_file="/x", **dict.fromkeys(files, "/x"))
subprocess.run("ip link set lo up; ip addr add 172.30.0.11/32 dev lo", shell=True, check=True)
address = IPv4Address("10.244.1.2")
veth = VethPair("uid", address, config)
await create_pod({"ip": str(config.ip_program), "batch": pod_ip_commands(address, config)}, veth.connect)
"""


def test_pod_network(tmp_path: Path) -> None:
    """A pod has its own address and ports, and the node reaches it from the node's address."""
    server = (
        "import socket; s=socket.create_server(('', 80)); print('up', flush=True); "
        "c,a=s.accept(); c.sendall(a[0].encode())"
    )
    body = f"""
{NODE}
await start(sys.executable, "-I", "-S", "-c", {server!r})
while "up" not in (at / "log").read_text(): await asyncio.sleep(0.01)
reader, writer = await asyncio.open_connection("10.244.1.2", 80)
source = (await reader.read()).decode()
writer.close()
code, log = await run("ip", "-br", "addr")
def links(): return subprocess.run(["ip", "link"], capture_output=True, text=True).stdout
connected = "veth" in links()
await veth.delete()
return source, "10.244.1.2/32" in log, connected, "veth" in links()
"""
    assert in_namespaces(tmp_path, body) == ["172.30.0.11", True, True, False]
