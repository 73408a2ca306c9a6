"""Errors of machines and users, provoked for real: one message, the right exit code, and nothing left behind.

Needs the sandbox's build; takes about two minutes.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loadgen.base.errors import StackError
from loadgen.kube.objects.pod_startup import find_blockers
from loadgen.programs.cache import cache_dir
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import ComponentState, Node
from loadgen.sandbox.namespaces import init_pid
from support.kube.sandboxes import config_of, fresh, inside, processes_of, up
from support.kube.scenarios import SCENARIOS

LOADGEN = str(Path(sys.executable).with_name("loadgen"))
LOCUST = str(Path(sys.executable).with_name("locust"))
SCENARIO = SCENARIOS / "sandbox_short.py"


def in_a_namespace(script: str, *, mount: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a shell script as root of a new user namespace, where it cannot affect the machine."""
    options = ["--mount"] if mount else []
    return subprocess.run(
        ["unshare", "--map-root-user", *options, "/bin/sh", "-euc", script], capture_output=True, text=True, timeout=100
    )


def eventually(condition: Callable[[], str], within_s: float = 100.0) -> str:
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return value


def test_forbidden_namespaces() -> None:
    """With a limit of zero namespaces, the message names the setting to change, and no folder is created."""
    sandbox = fresh()
    limits = "".join(f"echo 0 > /proc/sys/user/max_{kind}_namespaces\n" for kind in ("user", "net", "mnt", "pid"))
    done = in_a_namespace(f"{limits} exec {LOADGEN} sandbox up --no-addons --name {sandbox.name}")
    assert done.returncode == 4
    assert done.stderr.startswith("error: this system does not allow this user to create namespaces (")
    assert "`sysctl -w user.max_user_namespaces=15000`" in done.stderr
    assert not sandbox.folder.exists()


@pytest.mark.parametrize(("command", "needed"), [("build", 3), ("up --no-addons", 1)])
def test_a_full_disk(tmp_path: Path, command: str, needed: int) -> None:
    """With a cache on a disk of 2 MB, the message says how much to free, and only the lock file is left."""
    cache = tmp_path / "triton-loadgen"
    cache.mkdir()
    built = "" if command == "build" else f"ln -s {shlex.quote(str(cache_dir()))}/*-* {cache}/;"
    script = f"""
        mount -t tmpfs -o size=2m none {tmp_path}; mkdir {cache}; {built}
        export XDG_CACHE_HOME={tmp_path} MPLCONFIGDIR={tmp_path}/matplotlib
        {LOADGEN} sandbox {command} || echo exit code $?
        find {cache} -mindepth 1 -not -type l
    """
    done = in_a_namespace(script, mount=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: The disk that holds {cache}")
    assert f"is full: free {needed} GB there, or set XDG_CACHE_HOME" in last
    code, *left = done.stdout.splitlines()
    assert code == "exit code 4"
    assert all(path.endswith(".lock") or path == str(cache / "sandboxes") for path in left)


def test_a_kernel_without_nftables(tmp_path: Path) -> None:
    """With an `nft` that fails as on such a kernel, the message names the module, and only the logs are left."""
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\necho 'Error: Could not process rule: Operation not supported' >&2; exit 1\n")
    nft.chmod(0o755)
    sandbox = fresh()
    config = config_of(sandbox)
    config = config.model_copy(update={"tools": {**config.tools, "nft": nft}})
    try:
        with pytest.raises(StackError, match=r"nftables in the kernel.*Operation not supported.*modprobe nf_tables"):
            sandbox.up(config, say=lambda _: None, attached=True)
        assert processes_of(sandbox.folder) == []
        assert {path.name for path in sandbox.folder.iterdir()} == {"logs", "holder.json"}
    finally:
        sandbox.delete()


def test_pods_that_cannot_run_and_a_kubelet_that_exits() -> None:
    """Messages of the real scheduler and the kubelet are explained; the exit of a node's kubelet is reported."""
    with up([Node(name="only")]) as sandbox:
        eventually(lambda: inside(sandbox, "kubectl", "get", "serviceaccount", "default", "-oname", check=False))
        inside(sandbox, "kubectl", "run", "unknown", "--image=no.example/such/image:1", "--image-pull-policy=Never")
        needy = '{"spec":{"containers":[{"name":"c","image":"busybox","resources":{"limits":{"nvidia.com/gpu":"9"}}}]}}'
        inside(sandbox, "kubectl", "run", "needy", "--image=busybox", f"--overrides={needy}")

        def reasons() -> list[str]:
            pods = json.loads(inside(sandbox, "kubectl", "get", "pods", "--output=json"))["items"]
            return sorted(each.message for each in find_blockers(pods))

        eventually(lambda: "both" if len(reasons()) == 2 else "")
        unscheduled, unknown = reasons()
        assert unscheduled.startswith("a pod cannot be scheduled: 0/1 nodes are available: 1 Insufficient")
        assert unknown.startswith("the image no.example/such/image:1 cannot be pulled (ErrImageNeverPull")
        inside(sandbox, "kill", "-9", str(kubelet_state(sandbox).pid))
        exit_message = eventually(lambda: kubelet_state(sandbox).exit_message)
        assert exit_message.startswith("the kubelet of node only exited with -9: ")
        assert exit_message in (sandbox.folder / "logs" / "plane.log").read_text()


def kubelet_state(sandbox: Sandbox) -> ComponentState:
    """Return the state of the kubelet of the node `only`."""
    state = sandbox.state()
    assert state is not None
    return next(each for each in state.components if each.name == "kubelet only")


@pytest.mark.timeout(300)
def test_a_fleet_that_cannot_be_scheduled(tmp_path: Path) -> None:
    """With nine replicas of one GPU on eight GPUs, the run fails with the scheduler's message and keeps the logs."""
    done = subprocess.run(
        [LOCUST, "-f", str(SCENARIO), "--headless", "--target", "sandbox"],
        env={**os.environ, "LOADGEN_RUNS_DIR": str(tmp_path), "SANDBOX_SHORT_REPLICAS": "9"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 4, done.stderr[-3000:]
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    reason = "a pod cannot be scheduled: 0/2 nodes are available: 2 Insufficient"
    assert message.startswith(f"error: Deployment triton in namespace triton does not become ready: {reason}")
    assert message.endswith("request fewer replicas or GPUs, or add nodes")
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    log = (run / "logs" / "sandbox" / "kube-apiserver.log").read_text()
    (name,) = set(re.findall(r"/sandboxes/(run-[0-9a-f]+)/", log))
    assert not Sandbox.named(name).folder.exists()


def test_a_sandbox_that_exits_during_a_run() -> None:
    """When process 1 is killed, the command fails with exit code 4, and the sandbox's logs are kept."""
    script = (
        "import sys; from loadgen.sandbox import session; from loadgen.base.errors import LoadgenError\n"
        "make = session.SandboxConfig\n"  # as the user's own: another run that starts meanwhile would remove its logs
        "session.SandboxConfig = lambda **settings: make(**{**settings, 'of_run': False})\n"
        "try: session.run_inside(['/bin/sh', '-c', 'echo $LOADGEN_SANDBOX; exec sleep 600'], say=str, web_port=None)\n"
        "except LoadgenError as error: print(error); sys.exit(int(error.exit_code))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        sandbox = Sandbox.named(run.stdout.readline().strip())
        try:
            holder = sandbox.holder()
            assert holder is not None
            init = init_pid(holder)
            assert init is not None
            os.kill(init, signal.SIGKILL)
            output = run.stdout.read()
            assert run.wait(timeout=60) == 4
            assert output.startswith("the sandbox has exited: ")
            assert output.endswith("; analyze the recorded part of the run with `loadgen report`\n")
            assert {path.name for path in sandbox.folder.iterdir()} == {"logs", "holder.json"}
        finally:
            run.kill()
            sandbox.delete()
