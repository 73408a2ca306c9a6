"""The sandbox as a whole: up, exec and down, with nothing left behind.

Needs the sandbox's build; takes about two minutes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadgen.base.errors import SettingsError, StackError
from loadgen.base.processes import alive
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import Node, SandboxConfig
from loadgen.sandbox.namespaces import init_pid
from support.kube.sandboxes import config_of, fresh, inside, processes_of, up


def eventually(condition: Callable[[], object], what: str, within_s: float = 100.0) -> object:
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with up() as one:
        yield one


def component(sandbox: Sandbox, name: str) -> tuple[int, int]:
    """Return process id inside, and restarts, of a component of the control plane."""
    state = sandbox.state()
    assert state is not None
    return next((each.pid, each.restarts) for each in state.components if each.name == name)


def test_the_api_server_has_the_pinned_version(sandbox: Sandbox) -> None:
    """kubectl inside reports the version of the real API server."""
    version = json.loads(inside(sandbox, "kubectl", "version", "--output=json"))
    assert version["serverVersion"]["gitVersion"] == "v1.37.1"


def test_rbac_is_enabled(sandbox: Sandbox) -> None:
    """A service account has no permissions by default."""
    answer = inside(
        sandbox, "kubectl", "auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:default", check=False
    )
    assert answer.strip() == "no"


def test_the_network_is_isolated(sandbox: Sandbox) -> None:
    """Inside there is only the loopback interface and no route to other networks."""
    routes = json.loads(inside(sandbox, "ip", "-json", "route"))
    assert [route["dst"] for route in routes] == ["10.96.0.0/16"]
    links = {link["ifname"] for link in json.loads(inside(sandbox, "ip", "-json", "link"))}
    assert links == {"lo"}


def test_an_address_inside_is_reached_from_outside_through_a_socket(sandbox: Sandbox) -> None:
    """Bytes are relayed to an address inside; a refused connection is an error."""
    with sandbox.connect("127.0.0.1:2379") as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert b'"health":"true"' in answer
    with pytest.raises(StackError, match=r"cannot connect to 127\.0\.0\.1:1 inside"):
        sandbox.connect("127.0.0.1:1")


def test_a_killed_component_is_restarted_and_reported(sandbox: Sandbox) -> None:
    """After a SIGKILL the API server is restarted, and the log reports its exit."""
    pid, restarts = component(sandbox, "kube-apiserver")
    inside(sandbox, "kill", "-9", str(pid))
    eventually(lambda: component(sandbox, "kube-apiserver")[1] == restarts + 1, "a restart")
    eventually(
        lambda: (
            subprocess.run(sandbox.command(["kubectl", "get", "--raw=/readyz"]), capture_output=True).stdout == b"ok"
        ),
        "an answer",
    )
    assert "kube-apiserver exited with -9 and is restarted" in (sandbox.folder / "logs/plane.log").read_text()


def test_two_sandboxes_are_independent(sandbox: Sandbox) -> None:
    """Objects of one sandbox are not in the other; a second sandbox with the same name is refused."""
    inside(sandbox, "kubectl", "create", "namespace", "of-the-first")
    with up() as second:
        assert "of-the-first" not in inside(second, "kubectl", "get", "namespaces")
    with pytest.raises(SettingsError, match="is already up"):
        sandbox.up(config_of(sandbox), say=lambda _: None, attached=True)


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """After `down` no process and no folder is left."""
    with up() as sandbox:
        holder = sandbox.holder()
        assert holder is not None
        init = init_pid(holder)
        assert init is not None
        assert len(processes_of(sandbox.folder)) >= 4
    assert not alive(init)
    assert processes_of(sandbox.folder) == []
    assert not sandbox.folder.exists()


def test_sigkill_of_the_parent_process_leaves_nothing() -> None:
    """The kernel kills all processes, and `up` works again."""
    sandbox = fresh()
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from support.kube.sandboxes import config_of; from loadgen.sandbox.commands import Sandbox; import time\n"
        "s = Sandbox.named(sys.argv[1]); s.up(config_of(s), say=lambda _: None, attached=True)\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, sandbox.name, str(Path(__file__).parents[2])], stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert len(processes_of(sandbox.folder)) >= 4
    finally:
        parent.kill()
        parent.communicate()
    eventually(lambda: processes_of(sandbox.folder) == [], "the exit of all processes")
    assert sandbox.holder() is None
    sandbox.up(config_of(sandbox), say=lambda _: None, attached=True)
    sandbox.down()
    assert not sandbox.folder.exists()


def test_sigkill_of_process_1_leaves_nothing() -> None:
    """When process 1 is killed, the kernel kills all processes."""
    with up() as sandbox:
        holder = sandbox.holder()
        assert holder is not None
        init = init_pid(holder)
        assert init is not None
        os.kill(init, signal.SIGKILL)
        eventually(lambda: processes_of(sandbox.folder) == [], "the exit of all processes")
        eventually(lambda: sandbox.holder() is None, "the exit of the process outside, which waits for process 1")


def test_a_durable_sandbox_keeps_its_data() -> None:
    """API objects still exist after `down` and `up`."""
    sandbox = fresh()
    config = config_of(sandbox, durable=True)
    try:
        sandbox.up(config, say=lambda _: None, attached=True)
        inside(sandbox, "kubectl", "create", "namespace", "kept")
        sandbox.down()
        assert sandbox.folder.exists()
        sandbox.up(config, say=lambda _: None, attached=True)
        assert "kept" in inside(sandbox, "kubectl", "get", "namespaces")
    finally:
        sandbox.delete()
    assert not sandbox.folder.exists()


def test_a_component_that_cannot_start_is_an_error_with_the_end_of_its_log() -> None:
    """An unknown flag of the controller manager is an error with its reason, and no process is left."""
    sandbox = fresh()
    config = config_of(sandbox, controller_manager_flags=("--no-such-flag",))
    try:
        with pytest.raises(StackError, match=r"kube-controller-manager exited with 1 .*unknown flag"):
            sandbox.up(config, say=lambda _: None, attached=True)
        assert processes_of(sandbox.folder) == []
    finally:
        sandbox.delete()  # the logs were kept


def test_commands_need_a_sandbox_that_is_up() -> None:
    """The error of `exec` names the command that starts the sandbox."""
    with pytest.raises(StackError, match="start it with `loadgen sandbox up`"):
        fresh().command(["true"])


def test_an_invalid_configuration_is_refused() -> None:
    """Two nodes must not have the same name."""
    with pytest.raises(ValueError, match="two nodes have the same name"):
        SandboxConfig(name="x", folder=Path("/x"), tools={}, nodes=(Node(name="a"), Node(name="a")))
