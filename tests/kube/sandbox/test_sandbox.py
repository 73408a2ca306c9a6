"""The sandbox as a whole: up, exec, down, and that nothing is ever left behind."""

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
from loadgen.sandbox.config import SandboxConfig
from loadgen.sandbox.world import first_process
from support.kube.sandboxes import config_of, fresh, inside, processes_of, up


def eventually(condition: Callable[[], object], of: str, within_s: float = 30.0) -> object:
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{of} did not happen within {within_s:g} s"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with up() as one:
        yield one


def part(sandbox: Sandbox, name: str) -> tuple[int, int]:
    """Process id inside, and restarts, of a part of the control plane."""
    state = sandbox.state()
    assert state is not None
    return next((each.pid, each.restarts) for each in state.parts if each.name == name)


def test_the_api_server_is_the_release_that_the_pins_say(sandbox: Sandbox) -> None:
    """kubectl inside talks to a real API server, which knows its own version."""
    version = json.loads(inside(sandbox, "kubectl", "version", "--output=json"))
    assert version["serverVersion"]["gitVersion"] == "v1.37.1"


def test_rbac_is_on(sandbox: Sandbox) -> None:
    """A service account may do nothing that it was not given."""
    asked = inside(
        sandbox, "kubectl", "auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:default", check=False
    )
    assert asked.strip() == "no"


def test_nothing_leads_out_of_it(sandbox: Sandbox) -> None:
    """Inside there are its own addresses and no route to anywhere else."""
    routes = json.loads(inside(sandbox, "ip", "-json", "route"))
    assert [route["dst"] for route in routes] == ["10.96.0.0/16"]
    links = {link["ifname"] for link in json.loads(inside(sandbox, "ip", "-json", "link"))}
    assert links == {"lo"}


def test_an_address_inside_is_reached_from_outside_through_a_socket(sandbox: Sandbox) -> None:
    """The gate passes bytes to an address inside; where nothing answers it says so."""
    with sandbox.connect("127.0.0.1:2379") as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        answer = b""
        while more := connection.recv(4096):
            answer += more
    assert b'"health":"true"' in answer
    with pytest.raises(StackError, match=r"nothing answers at 127\.0\.0\.1:1 "):
        sandbox.connect("127.0.0.1:1")


def test_a_part_that_is_killed_comes_back_and_is_named(sandbox: Sandbox) -> None:
    """The API server dies by SIGKILL: it is started again, and the log says that it ended."""
    pid, restarts = part(sandbox, "kube-apiserver")
    inside(sandbox, "kill", "-9", str(pid))
    eventually(lambda: part(sandbox, "kube-apiserver")[1] == restarts + 1, "a restart")
    eventually(
        lambda: (
            subprocess.run(sandbox.command(["kubectl", "get", "--raw=/readyz"]), capture_output=True).stdout == b"ok"
        ),
        "an answer",
    )
    assert "kube-apiserver ended with -9 and is started again" in (sandbox.folder / "logs/plane.log").read_text()


def test_two_at_once_do_not_meet(sandbox: Sandbox) -> None:
    """What is made in one is not in the other; a second of the same name is refused."""
    inside(sandbox, "kubectl", "create", "namespace", "of-the-first")
    with up() as second:
        assert "of-the-first" not in inside(second, "kubectl", "get", "namespaces")
    with pytest.raises(SettingsError, match="is up already"):
        sandbox.up(config_of(sandbox), say=lambda _: None, attached=True)


def test_down_leaves_nothing(tmp_path: Path) -> None:
    """After `down` there is no process, no folder and no namespace of it."""
    with up() as sandbox:
        holder = sandbox.holder()
        assert holder is not None
        init = first_process(holder)
        assert init is not None
        assert len(processes_of(sandbox.folder)) >= 4
    assert not alive(init)
    assert processes_of(sandbox.folder) == []
    assert not sandbox.folder.exists()


def test_sigkill_of_whoever_started_it_leaves_nothing() -> None:
    """The kernel ends everything: no process remains a moment later, and `up` works again."""
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
    eventually(lambda: processes_of(sandbox.folder) == [], "the end of all processes", within_s=5)
    assert sandbox.holder() is None
    sandbox.up(config_of(sandbox), say=lambda _: None, attached=True)
    sandbox.down()
    assert not sandbox.folder.exists()


def test_sigkill_of_process_1_leaves_nothing() -> None:
    """When process 1 of the world dies the kernel ends the rest."""
    with up() as sandbox:
        holder = sandbox.holder()
        assert holder is not None
        init = first_process(holder)
        assert init is not None
        os.kill(init, signal.SIGKILL)
        eventually(lambda: processes_of(sandbox.folder) == [], "the end of all processes", within_s=5)
        assert sandbox.holder() is None


def test_a_kept_one_starts_again_with_what_was_in_it() -> None:
    """Objects of the API are there after down and up."""
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


def test_a_part_that_cannot_start_is_told_with_its_last_words() -> None:
    """A flag that the controller manager does not know: one sentence with its reason, and nothing is left."""
    sandbox = fresh()
    config = config_of(sandbox, controller_manager_flags=("--no-such-flag",))
    try:
        with pytest.raises(StackError, match=r"kube-controller-manager ended with 1 .*unknown flag"):
            sandbox.up(config, say=lambda _: None, attached=True)
        assert processes_of(sandbox.folder) == []
    finally:
        sandbox.delete()  # its logs are kept for whoever reads the sentence


def test_commands_for_one_that_is_not_up_say_so() -> None:
    """`exec` names the command that starts it."""
    with pytest.raises(StackError, match="start it with `loadgen sandbox up`"):
        fresh().command(["true"])


def test_a_config_with_a_mistake_is_refused() -> None:
    """Two nodes of one name."""
    from loadgen.sandbox.config import Node

    with pytest.raises(ValueError, match="two nodes have the same name"):
        SandboxConfig(name="x", folder=Path("/x"), tools={}, nodes=(Node(name="a"), Node(name="a")))
