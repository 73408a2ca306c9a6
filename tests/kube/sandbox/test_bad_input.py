"""What a machine or a user may get wrong, really provoked: one sentence, the right exit code, nothing left behind."""

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
from loadgen.sandbox.config import Node
from loadgen.sandbox.world import first_process
from support.kube.sandboxes import config_of, fresh, inside, processes_of, up
from support.kube.scenarios import SCENARIOS

LOADGEN = str(Path(sys.executable).with_name("loadgen"))
LOCUST = str(Path(sys.executable).with_name("locust"))
SCENARIO = SCENARIOS / "sandbox_short.py"


def in_a_namespace(script: str, *, mount: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a shell script as root of a user namespace of its own, where it may break what it likes."""
    options = ["--mount"] if mount else []
    return subprocess.run(
        ["unshare", "--map-root-user", *options, "/bin/sh", "-euc", script], capture_output=True, text=True, timeout=100
    )


def eventually(value: Callable[[], str], within_s: float = 60.0) -> str:
    deadline = time.monotonic() + within_s
    while not (found := value()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_forbidden_namespaces() -> None:
    """Their number is limited to none: the setting that allows them is named, and no folder is made."""
    sandbox = fresh()
    limits = "".join(f"echo 0 > /proc/sys/user/max_{kind}_namespaces\n" for kind in ("user", "net", "mnt", "pid"))
    done = in_a_namespace(f"{limits} exec {LOADGEN} sandbox up --no-addons --name {sandbox.name}")
    assert done.returncode == 4
    assert done.stderr.startswith("error: this system lets this user make no namespaces (")
    assert "`sysctl -w user.max_user_namespaces=15000`" in done.stderr
    assert not sandbox.folder.exists()


@pytest.mark.parametrize(("command", "needed"), [("build", 3), ("up --no-addons", 1)])
def test_a_full_disk(tmp_path: Path, command: str, needed: int) -> None:
    """A cache on a disk of 2 MB: how much to free, and nothing but the lock's file is left there."""
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
    """An `nft` that fails as it does there: the module is named, no process is left, and of files the logs."""
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\necho 'Error: Could not process rule: Operation not supported' >&2; exit 1\n")
    nft.chmod(0o755)
    sandbox = fresh()
    config = config_of(sandbox)
    config = config.model_copy(update={"tools": {**config.tools, "nft": nft}})
    try:
        with pytest.raises(StackError, match=r"nftables in the kernel.*Operation not supported: .*modprobe nf_tables"):
            sandbox.up(config, say=lambda _: None, attached=True)
        assert processes_of(sandbox.folder) == []
        assert {path.name for path in sandbox.folder.iterdir()} == {"logs", "holder.json"}
    finally:
        sandbox.delete()


def test_pods_that_will_never_run_and_a_kubelet_that_dies() -> None:
    """What the real scheduler and the kubelet say becomes a sentence each; a node's kubelet that ended is named."""
    with up([Node(name="only")]) as sandbox:
        eventually(lambda: inside(sandbox, "kubectl", "get", "serviceaccount", "default", "-oname", check=False))
        inside(sandbox, "kubectl", "run", "unknown", "--image=no.example/such/image:1", "--image-pull-policy=Never")
        needy = '{"spec":{"containers":[{"name":"c","image":"busybox","resources":{"limits":{"nvidia.com/gpu":"9"}}}]}}'
        inside(sandbox, "kubectl", "run", "needy", "--image=busybox", f"--overrides={needy}")

        def told() -> list[str]:
            pods = json.loads(inside(sandbox, "kubectl", "get", "pods", "--output=json"))["items"]
            return sorted(each.message for each in find_blockers(pods))

        eventually(lambda: "both" if len(told()) == 2 else "")
        unscheduled, unknown = told()
        assert unscheduled.startswith("a pod cannot be scheduled: 0/1 nodes are available: 1 Insufficient")
        assert unknown.startswith("the image no.example/such/image:1 cannot be pulled (ErrImageNeverPull")
        kubelet = next(part.pid for part in parts(sandbox) if part.name == "kubelet only")
        inside(sandbox, "kill", "-9", str(kubelet))
        death = eventually(lambda: next(part.death for part in parts(sandbox) if part.name == "kubelet only"))
        assert death.startswith("the kubelet of node only ended with -9: ")
        assert death in (sandbox.folder / "logs" / "plane.log").read_text()


def parts(sandbox: Sandbox):
    state = sandbox.state()
    assert state is not None
    return state.parts


def test_a_fleet_that_cannot_be_scheduled(tmp_path: Path) -> None:
    """Nine replicas of one GPU on eight GPUs: the run ends with what the scheduler says, and keeps the logs."""
    done = subprocess.run(
        [LOCUST, "-f", str(SCENARIO), "--headless", "--target", "sandbox"],
        env={**os.environ, "LOADGEN_RUNS_DIR": str(tmp_path), "SANDBOX_SHORT_REPLICAS": "9"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 4, done.stderr[-3000:]
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    why = "a pod cannot be scheduled: 0/2 nodes are available: 2 Insufficient"
    assert sentence.startswith(f"error: Deployment triton in namespace triton does not become ready: {why}")
    assert sentence.endswith("request fewer replicas or GPUs, or add nodes")
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    kept = (run / "logs" / "sandbox" / "kube-apiserver.log").read_text()
    (name,) = set(re.findall(r"/sandboxes/(run-[0-9a-f]+)/", kept))
    assert not Sandbox.named(name).folder.exists()


def test_a_sandbox_that_is_lost_under_a_run() -> None:
    """Its process 1 is killed: the command's end is told as what it is, with exit code 4, and its logs stay for it."""
    script = (
        "import sys; from loadgen.sandbox import session; from loadgen.base.errors import LoadgenError\n"
        "session._OF_A_RUN = 'lost-'\n"  # else a run that begins elsewhere meanwhile would clear its logs away
        "try: session.run_inside(['/bin/sh', '-c', 'echo $LOADGEN_SANDBOX; exec sleep 600'], say=str, web_port=None)\n"
        "except LoadgenError as error: print(error); sys.exit(int(error.exit_code))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        sandbox = Sandbox.named(run.stdout.readline().strip())
        try:
            holder = sandbox.holder()
            assert holder is not None
            init = first_process(holder)
            assert init is not None
            os.kill(init, signal.SIGKILL)
            said = run.stdout.read()
            assert run.wait(timeout=60) == 4
            assert said.startswith("the sandbox is gone: ")
            assert said.endswith("what the run has recorded is judged by `loadgen report`\n")
            assert {path.name for path in sandbox.folder.iterdir()} == {"logs", "holder.json"}
        finally:
            run.kill()
            sandbox.delete()
