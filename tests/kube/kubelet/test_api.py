"""What kubectl asks of a node's kubelet, held against kubectl's reference: logs, exec, cp, and what is refused."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from support.kube.cluster import (
    FOREVER,
    Cluster,
    Json,
    eventually,
    mount,
    over,
    phase,
    pod,
    ready,
    restarted,
    shell,
    waits,
)

pytestmark = pytest.mark.timeout(240)


def of_lives(name: str, script: str) -> Json:
    """A pod whose container counts its lives."""
    count = "echo >> /work/n; n=$(wc -l < /work/n); echo life $n; "
    main = shell(count + script, volumeMounts=[mount("work", "/work")])
    return pod(name, main, volumes=[{"name": "work", "emptyDir": {}}])


PODS = [
    of_lives("always-dies", "exit 1"),
    of_lives("dies-once", "test $n = 1 || exec sleep 600; exit 1"),
    pod(
        "runs",
        shell("echo of the first; echo wrong >&2; exec sleep 600", "first", env=[{"name": "WORD", "value": "given"}]),
        shell(f"echo of the second; {FOREVER}", "second"),
    ),
    pod("lines", shell("for n in 1 2 3 4 5; do echo line $n; done"), restartPolicy="Never"),
    pod("waits", {"name": "main", "image": "no.example/image:1"}),
]


@pytest.fixture(scope="module", autouse=True)
def _made(cluster: Cluster) -> None:
    cluster.create(*PODS)


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs(cluster: Cluster) -> None:
    """Prints what a container wrote to its output and error output, the first container by default, or -c."""
    cluster.pod("runs", ready)
    assert cluster.kubectl("logs", "runs") == "of the first\nwrong\n"
    assert cluster.kubectl("logs", "runs", "--container=second") == "of the second\n"
    said = cluster.kubectl("logs", "runs", "--all-containers", "--prefix")
    assert "[pod/runs/second] of the second\n" in said


def test_logs_of_a_pod_that_is_over(cluster: Cluster) -> None:
    """The log of a container that has ended can still be read; --tail and --limit-bytes cut it."""
    assert len(cluster.log("lines").splitlines()) == 5
    assert cluster.kubectl("logs", "lines", "--tail=2") == "line 4\nline 5\n"
    assert cluster.kubectl("logs", "lines", "--limit-bytes=6") == "line 1"


@pytest.mark.parametrize("option", ["--since=1s", "--since-time=2999-01-01T00:00:00Z"])
def test_logs_since(cluster: Cluster, option: str) -> None:
    """--since and --since-time leave out what is older; our limit: by the log's last change, as lines carry no time."""
    cluster.log("lines")
    eventually(lambda: cluster.kubectl("logs", "lines", option) == "", "an old log", 10)
    assert cluster.kubectl("logs", "lines", "--since=1h", "--tail=1") == "line 5\n"
    assert cluster.kubectl("logs", "lines", "--since-time=2001-01-01T00:00:00Z", "--tail=1") == "line 5\n"


def test_logs_follow(cluster: Cluster) -> None:
    """--follow streams what is still to be written, and ends with the container."""
    cluster.create(pod("talks", shell("for n in 1 2 3; do sleep 1; echo word $n; done"), restartPolicy="Never"))
    cluster.pod("talks", phase("Running"))
    assert cluster.kubectl("logs", "talks", "--follow") == "word 1\nword 2\nword 3\n"


def test_logs_previous(cluster: Cluster) -> None:
    """--previous prints the log of the previous instance of the container, if there is one."""
    cluster.pod("dies-once", lambda each: restarted(1)(each) and ready(each))
    assert cluster.kubectl("logs", "dies-once") == "life 2\n"
    assert cluster.kubectl("logs", "dies-once", "--previous") == "life 1\n"
    none = cluster.run("logs", "runs", "--previous", "--container=first")
    assert (none.returncode, 'previous terminated container "first" in pod "runs" not found' in none.stderr) == (
        1,
        True,
    )


def test_logs_of_a_container_that_waits_for_its_next_life(cluster: Cluster) -> None:
    """In CrashLoopBackOff both the log and the previous log are of the latest life: the next one has not begun."""
    cluster.pod("always-dies", lambda each: restarted(1)(each) and waits("CrashLoopBackOff")(each))

    def same() -> bool:
        said = cluster.kubectl("logs", "always-dies")
        return said == cluster.kubectl("logs", "always-dies", "--previous") != "life 1\n"

    eventually(same, "the same log", 5)  # the next life may begin between the two


def test_logs_of_a_container_that_never_ran(cluster: Cluster) -> None:
    """A container that has not started has no log; the reason why it waits is said."""
    cluster.pod("waits", waits("ErrImageNeverPull"))
    refused = cluster.run("logs", "waits")
    assert refused.returncode == 1
    assert 'container "main" in pod "waits" is waiting to start: ErrImageNeverPull' in refused.stderr


def test_logs_carry_no_times(cluster: Cluster) -> None:
    """Our limit: --timestamps shows none, as the kubelet's page says."""
    assert cluster.log("lines", "--timestamps", "--tail=1") == "line 5\n"


# -- exec -------------------------------------------------------------------------------------------------------------


def test_exec(cluster: Cluster) -> None:
    """Runs a command in a container, with its environment, and keeps output and error output apart."""
    cluster.pod("runs", ready)
    done = cluster.run("exec", "runs", "--", "sh", "-c", "echo $WORD; echo wrong >&2")
    assert (done.returncode, done.stdout) == (0, "given\n")
    assert done.stderr.endswith("wrong\n")


def test_exec_exit_code(cluster: Cluster) -> None:
    """The exit code of the command is kubectl's."""
    cluster.pod("runs", ready)
    done = cluster.run("exec", "runs", "--", "sh", "-c", "exit 42")
    assert done.returncode == 42
    assert "command terminated with exit code 42" in done.stderr


def test_exec_stdin(cluster: Cluster) -> None:
    """-i passes the input to the command, byte for byte, and its end too."""
    cluster.pod("runs", ready)
    text = "".join(f"line {n} of a long input\n" for n in range(20_000))
    assert cluster.kubectl("exec", "-i", "runs", "--", "cat", stdin=text) == text


def test_exec_is_inside(cluster: Cluster) -> None:
    """The command sees the processes of its container alone, whose first is process 1."""
    cluster.pod("runs", ready)
    said = cluster.kubectl("exec", "runs", "--container=first", "--", "cat", "/proc/1/cmdline")
    assert said == "sleep\x00600\x00"


def test_exec_with_a_terminal(cluster: Cluster) -> None:
    """With -t the command has a terminal, as large as the one of kubectl."""
    cluster.pod("runs", ready)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    # the size comes in a message of its own, so the command waits for it
    script = "test -t 0 && test -t 1 && until test \"$(stty size)\" = '33 101'; do sleep 0.1; done; echo as large"
    command = cluster.command("exec", "-i", "-t", "runs", "--container=first", "--", "sh", "-c", script)
    try:
        done = subprocess.run(command, stdin=theirs, stdout=theirs, stderr=theirs, timeout=30, check=False)
        said = os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, said.splitlines()[-1]) == (0, b"as large")


def test_exec_without_the_program(cluster: Cluster) -> None:
    """A program that is not there is an error that names it."""
    cluster.pod("runs", ready)
    done = cluster.run("exec", "runs", "--", "no-such-program")
    assert done.returncode == 1
    assert 'exec: "no-such-program": executable file not found in $PATH' in done.stderr


def test_exec_in_a_pod_that_is_over(cluster: Cluster) -> None:
    """Nothing can be executed in a container that does not run."""
    cluster.pod("lines", over)
    done = cluster.run("exec", "lines", "--", "true")
    assert done.returncode == 1
    assert "cannot exec into a container in a completed pod" in done.stderr


def test_cp(cluster: Cluster, tmp_path: Path) -> None:
    """Copies files from and to containers, by tar in the container."""
    cluster.pod("dies-once", lambda each: restarted(1)(each) and ready(each))
    (tmp_path / "sent").write_bytes(bytes(range(256)) * 1000)
    cluster.kubectl("cp", str(tmp_path / "sent"), "dies-once:/work/sent")
    cluster.kubectl("cp", "dies-once:/work/sent", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()


# -- what a process kubelet does not do -------------------------------------------------------------------------------


def test_attach_is_refused(cluster: Cluster) -> None:
    """Our limit: attach is refused in one sentence that says what does the same."""
    cluster.pod("runs", ready)
    refused = cluster.run("attach", "runs", "--container=second")
    assert refused.returncode == 1
    assert (
        "the process kubelet does not support attach: use `kubectl logs --follow` or `kubectl exec`" in refused.stderr
    )
