"""The kubelet's API through kubectl, checked against kubectl's reference: logs, exec, cp and limitations.

Needs the sandbox's build; takes about a minute.
"""

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
    finished,
    mount,
    pod,
    ready,
    restarted,
    shell,
    waiting,
)

pytestmark = pytest.mark.timeout(240)


def counting_pod(name: str, script: str) -> Json:
    """Return a pod whose container counts its starts."""
    count = "echo >> /work/n; n=$(wc -l < /work/n); echo start $n; "
    main = shell(count + script, volumeMounts=[mount("work", "/work")])
    return pod(name, main, volumes=[{"name": "work", "emptyDir": {}}])


PODS = [
    counting_pod("always-exits", "exit 1"),
    counting_pod("exits-once", "test $n = 1 || exec sleep 600; exit 1"),
    pod(
        "runs",
        shell("echo of the first; echo wrong >&2; exec sleep 600", "first", env=[{"name": "WORD", "value": "given"}]),
        shell(f"echo of the second; {FOREVER}", "second"),
    ),
    pod("lines", shell("for n in 1 2 3 4 5; do echo line $n; done"), restartPolicy="Never"),
    pod("waits", {"name": "main", "image": "no.example/image:1"}),
]


@pytest.fixture(scope="module", autouse=True)
def _pods(cluster: Cluster) -> None:
    cluster.create(*PODS)


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs(cluster: Cluster) -> None:
    """Prints stdout and stderr of a container: of the first one by default, or of -c."""
    cluster.pod("runs", ready)
    assert cluster.kubectl("logs", "runs") == "of the first\nwrong\n"
    assert cluster.kubectl("logs", "runs", "--container=second") == "of the second\n"
    output = cluster.kubectl("logs", "runs", "--all-containers", "--prefix")
    assert "[pod/runs/second] of the second\n" in output


def test_logs_of_a_finished_pod(cluster: Cluster) -> None:
    """The log of a terminated container is available; --tail and --limit-bytes select a part."""
    assert len(cluster.log("lines").splitlines()) == 5
    assert cluster.kubectl("logs", "lines", "--tail=2") == "line 4\nline 5\n"
    assert cluster.kubectl("logs", "lines", "--limit-bytes=6") == "line 1"


@pytest.mark.parametrize("option", ["--since=1s", "--since-time=2999-01-01T00:00:00Z"])
def test_logs_since(cluster: Cluster, option: str) -> None:
    """--since and --since-time omit older logs. Limitation: the log's last change counts, as lines have no times."""
    cluster.log("lines")
    eventually(lambda: cluster.kubectl("logs", "lines", option) == "", "a log that is old enough")
    assert cluster.kubectl("logs", "lines", "--since=1h", "--tail=1") == "line 5\n"
    assert cluster.kubectl("logs", "lines", "--since-time=2001-01-01T00:00:00Z", "--tail=1") == "line 5\n"


def test_logs_follow(cluster: Cluster) -> None:
    """--follow streams the log while it is written, and ends with the container."""
    script = "echo line 1; until test -e /work/continue; do sleep 0.1; done; echo line 2; sleep 1; echo line 3"
    writer = shell(script, volumeMounts=[mount("work", "/work")])
    cluster.create(pod("writes", writer, restartPolicy="Never", volumes=[{"name": "work", "emptyDir": {}}]))
    cluster.pod("writes", ready)
    with subprocess.Popen(cluster.command("logs", "writes", "--follow"), stdout=subprocess.PIPE, text=True) as follow:
        assert follow.stdout is not None
        assert follow.stdout.readline() == "line 1\n"
        cluster.kubectl("exec", "writes", "--", "touch", "/work/continue")
        assert follow.stdout.read() == "line 2\nline 3\n"
    assert follow.returncode == 0


def test_logs_previous(cluster: Cluster) -> None:
    """--previous prints the log of the previous container, if there is one."""
    cluster.pod("exits-once", lambda each: restarted(1)(each) and ready(each))
    assert cluster.kubectl("logs", "exits-once") == "start 2\n"
    assert cluster.kubectl("logs", "exits-once", "--previous") == "start 1\n"
    refused = cluster.run("logs", "runs", "--previous", "--container=first")
    assert (refused.returncode, 'previous terminated container "first" in pod "runs" not found' in refused.stderr) == (
        1,
        True,
    )


def test_logs_of_a_container_in_back_off(cluster: Cluster) -> None:
    """In CrashLoopBackOff the latest log is also the previous log, as the next container has not started."""
    cluster.pod("always-exits", lambda each: restarted(1)(each) and waiting("CrashLoopBackOff")(each))

    def same() -> bool:
        log = cluster.kubectl("logs", "always-exits")
        return log == cluster.kubectl("logs", "always-exits", "--previous") != "start 1\n"

    eventually(same, "the same log")  # the next container may start between the two calls


def test_logs_of_a_container_that_never_ran(cluster: Cluster) -> None:
    """The error for a container that has not started has the reason of its waiting state."""
    cluster.pod("waits", waiting("ErrImagePull"))
    refused = cluster.run("logs", "waits")
    assert refused.returncode == 1
    assert 'container "main" in pod "waits" is waiting to start: ErrImagePull' in refused.stderr


def test_logs_have_no_time_stamps(cluster: Cluster) -> None:
    """Limitation: --timestamps has no effect, as the README says."""
    assert cluster.log("lines", "--timestamps", "--tail=1") == "line 5\n"


# -- exec -------------------------------------------------------------------------------------------------------------


def test_exec(cluster: Cluster) -> None:
    """Runs a command in a container with the container's environment, and separates stdout and stderr."""
    cluster.pod("runs", ready)
    done = cluster.run("exec", "runs", "--", "sh", "-c", "echo $WORD; echo wrong >&2")
    assert (done.returncode, done.stdout) == (0, "given\n")
    assert done.stderr.endswith("wrong\n")


def test_exec_exit_code(cluster: Cluster) -> None:
    """kubectl exits with the exit code of the command."""
    cluster.pod("runs", ready)
    done = cluster.run("exec", "runs", "--", "sh", "-c", "exit 42")
    assert done.returncode == 42
    assert "command terminated with exit code 42" in done.stderr


def test_exec_stdin(cluster: Cluster) -> None:
    """-i passes stdin to the command, including its end."""
    cluster.pod("runs", ready)
    text = "".join(f"line {n} of a long input\n" for n in range(20_000))
    assert cluster.kubectl("exec", "-i", "runs", "--", "cat", stdin=text) == text


def test_exec_is_inside(cluster: Cluster) -> None:
    """The command is in the PID namespace of the container, whose first process is process 1."""
    cluster.pod("runs", ready)
    command_line = cluster.kubectl("exec", "runs", "--container=first", "--", "cat", "/proc/1/cmdline")
    assert command_line == "sleep\x00600\x00"


def test_exec_with_a_terminal(cluster: Cluster) -> None:
    """With -t the command has a terminal with the size of kubectl's terminal."""
    cluster.pod("runs", ready)
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    # the size arrives in a separate message, so the command waits for it
    script = "test -t 0 && test -t 1 && until test \"$(stty size)\" = '33 101'; do sleep 0.1; done; echo resized"
    command = cluster.command("exec", "-i", "-t", "runs", "--container=first", "--", "sh", "-c", script)
    try:
        done = subprocess.run(command, stdin=secondary, stdout=secondary, stderr=secondary, timeout=120, check=False)
        output = os.read(primary, 4096)
    finally:
        os.close(primary)
        os.close(secondary)
    assert (done.returncode, output.splitlines()[-1]) == (0, b"resized")


def test_exec_without_the_program(cluster: Cluster) -> None:
    """The error for a missing program names it."""
    cluster.pod("runs", ready)
    done = cluster.run("exec", "runs", "--", "no-such-program")
    assert done.returncode == 1
    assert 'exec: "no-such-program": executable file not found in $PATH' in done.stderr


def test_exec_in_a_finished_pod(cluster: Cluster) -> None:
    """exec in a finished pod is refused."""
    cluster.pod("lines", finished)
    done = cluster.run("exec", "lines", "--", "true")
    assert done.returncode == 1
    assert "cannot exec into a container in a completed pod" in done.stderr


def test_cp(cluster: Cluster, tmp_path: Path) -> None:
    """Copies files to and from containers, with tar in the container."""
    cluster.pod("exits-once", lambda each: restarted(1)(each) and ready(each))
    (tmp_path / "sent").write_bytes(bytes(range(256)) * 1000)
    cluster.kubectl("cp", str(tmp_path / "sent"), "exits-once:/work/sent")
    cluster.kubectl("cp", "exits-once:/work/sent", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()


# -- limitations -------------------------------------------------------------------------------


def test_attach_is_refused(cluster: Cluster) -> None:
    """Limitation: attach is refused with a message that names alternatives."""
    cluster.pod("runs", ready)
    refused = cluster.run("attach", "runs", "--container=second")
    assert refused.returncode == 1
    assert (
        "the process kubelet does not support attach: use `kubectl logs --follow` or `kubectl exec`" in refused.stderr
    )
