"""Only workers that know the secret of the master exchange messages with it, on loopback sockets of Locust."""

import os
import subprocess
import sys

import pytest
from locust.argument_parser import LocustArgumentParser, get_empty_argument_parser, setup_parser_arguments

from loadgen.base.errors import SettingsError
from loadgen.load.adapters import worker_secret
from loadgen.load.adapters.worker_secret import VARIABLE, listen_on_loopback, secret_of

PROGRAM = """
import os, sys
import gevent.monkey; gevent.monkey.patch_all()
import gevent
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.rpc import Message, zmqrpc
from loadgen.load.adapters import worker_secret

def connection(role, secret, port):
    os.environ.pop(worker_secret.VARIABLE, None)
    if secret:
        os.environ[worker_secret.VARIABLE] = secret
    return zmqrpc.Server("127.0.0.1", port) if role == "master" else zmqrpc.Client("127.0.0.1", port, "one")

of_master, of_worker, flags = sys.argv[1], sys.argv[2], sys.argv[3:]
parser = get_empty_argument_parser(add_help=False)
setup_parser_arguments(parser)
worker_secret.listen_on_loopback(parser)
sys.argv[1:] = flags
worker_secret.require_secret_of_workers()
master = connection("master", of_master, 0)
worker = connection("worker", of_worker, master.port)
worker.send(Message("client_ready", None, "one"))
with gevent.Timeout(10):
    print(master.recv_from_client()[1].type, flush=True)
    master.send_to_client(Message("ack", {"target": "secret.example"}, "one"))
    print(worker.recv().data, flush=True)
os._exit(0)
"""


def locust_parser() -> LocustArgumentParser:
    parser = get_empty_argument_parser(add_help=False)
    setup_parser_arguments(parser)
    return parser


def exchange(of_master: str, of_worker: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROGRAM, of_master, of_worker, *flags]
    env = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "KUBERNETES_SERVICE_HOST")}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("of_master", "of_worker", "flags"),
    [("word", "word", ()), ("", "", ("--processes", "2"))],
    ids=["same", "forked"],
)
def test_a_worker_with_the_secret(of_master: str, of_worker: str, flags: tuple[str, ...]) -> None:
    """Messages are exchanged; the workers of --processes need no variable."""
    done = exchange(of_master, of_worker, *flags)
    assert done.stdout.splitlines() == ["client_ready", "{'target': 'secret.example'}"], done.stderr


@pytest.mark.parametrize(
    ("of_master", "of_worker"), [("word", "another"), ("word", ""), ("", "word")], ids=["other", "none", "unexpected"]
)
def test_a_worker_without_the_secret(of_master: str, of_worker: str) -> None:
    """No message is exchanged, and the worker ends with a usage error that names the variable."""
    done = exchange(of_master, of_worker)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: the master refused this worker: set {VARIABLE} to the master's" in done.stderr


@pytest.mark.parametrize(
    ("flags", "accepted"),
    [
        (("--master-bind-host", "*"), False),
        (("--master-bind-host", "10.0.0.1"), False),
        (("--master-bind-host", "::1"), True),
        ((), True),
        (("--master-bind-host", "*", "--processes", "2"), True),
    ],
)
def test_a_master_for_other_hosts_needs_a_secret(
    monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], accepted: bool
) -> None:
    """Otherwise anybody who can connect would get the target."""
    for name in ("LOCUST_MASTER_BIND_HOST", "KUBERNETES_SERVICE_HOST", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(worker_secret, "_parser", None)
    listen_on_loopback(locust_parser())
    monkeypatch.setattr(sys, "argv", ["locust", *flags])
    if accepted:
        secret_of(is_master=True)
    else:
        with pytest.raises(
            SettingsError, match=f"would accept workers at .* without a secret: set the same {VARIABLE}"
        ):
            secret_of(is_master=True)


@pytest.mark.parametrize(
    ("flags", "variables", "hosts"),
    [
        ((), {}, ("127.0.0.1", "127.0.0.1")),
        (("--web-host", "*", "--master-bind-host", "*"), {}, ("*", "*")),
        ((), {"LOCUST_WEB_HOST": "::", "LOCUST_MASTER_BIND_HOST": "::"}, ("::", "::")),
        ((), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ("", "*")),
    ],
    ids=["default", "flags", "variables", "pod"],
)
def test_addresses_on_which_locust_listens(
    monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], variables: dict[str, str], hosts: tuple[str, str]
) -> None:
    """Loopback for web UI and workers, unless the user or a pod wants others."""
    for name in ("LOCUST_WEB_HOST", "LOCUST_MASTER_BIND_HOST", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parser = locust_parser()
    listen_on_loopback(parser)
    options = parser.parse_args(list(flags))
    assert (options.web_host, options.master_bind_host) == hosts
