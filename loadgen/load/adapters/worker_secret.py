"""Lets only workers that know a secret connect to Locust's master, and encrypts what they exchange.

Locust's master sends every process that connects to it the target, its headers and the user classes, and counts it as a
worker. With a secret, master and workers use ZeroMQ's CURVE security: the key pair of the master is derived from the
secret, and the handshake fails for a process that does not know it, before the first message. The secret is
`$LOADGEN_WORKER_SECRET`; the workers of --processes, which are forked, need none and get one of their own.
"""

import ipaddress
import os
import secrets
import sys
from functools import cache
from hashlib import scrypt
from typing import Any

import gevent
import zmq
from locust.argument_parser import LocustArgumentParser
from locust.rpc import zmqrpc
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from loadgen.base.console import say
from loadgen.base.errors import ExitCode, SettingsError

VARIABLE = "LOADGEN_WORKER_SECRET"
LOOPBACK = "127.0.0.1"

_FINAL = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | _FINAL
_REFUSALS = 5
"""Failed handshakes after which a worker gives up: a master that restarts can cause one."""

_of_forked_workers = secrets.token_hex(32)
"""Generated before Locust forks the workers of --processes, so they have it, too."""
_parser: LocustArgumentParser | None = None


def listen_on_loopback(parser: LocustArgumentParser) -> None:
    """Let web UI and master listen on loopback by default, and in a pod on all addresses.

    Args:
        parser: Parser of Locust's flags, which the connections below are made by.
    """
    global _parser
    _parser = _parser or parser
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        parser.set_defaults(web_host=LOOPBACK, master_bind_host=LOOPBACK)


def require_secret_of_workers() -> None:
    """Secure the connections that Locust opens from now on, in this process and in the workers that it forks."""
    zmqrpc.BaseSocket.__init__ = _open  # type: ignore[method-assign]


_open_without = zmqrpc.BaseSocket.__init__


def _open(self: zmqrpc.BaseSocket, sock_type: int, ipv4_only: bool) -> None:
    """Open a socket of Locust: the ROUTER of a master, or the DEALER of a worker.

    Raises:
        SettingsError: other hosts could connect to this master, and it has no secret.
    """
    _open_without(self, sock_type, ipv4_only)  # type: ignore[no-untyped-call]
    is_master = sock_type == zmq.ROUTER
    secret = secret_of(is_master=is_master)
    if secret:
        private, public = _keys(secret)
        if is_master:
            self.socket.curve_secretkey, self.socket.curve_publickey = private, public
            self.socket.curve_server = True
        else:
            self.socket.curve_serverkey = public
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.curve_keypair()
    watched = _FAILED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_MONITOR_STOPPED
    gevent.spawn(_watch, self.socket.get_monitor_socket(watched), is_master=is_master)


def secret_of(*, is_master: bool) -> str | None:
    """Return the secret of this master or worker; None without one, which is for masters on loopback.

    Raises:
        SettingsError: other hosts could connect to this master, and it has no secret.
    """
    if secret := os.environ.get(VARIABLE):
        return secret
    if _parser is None:
        return None
    options = _parser.parse_args()  # as Locust did, so that it cannot fail
    if options.processes and not options.worker:
        return _of_forked_workers
    if is_master and not _is_loopback(options.master_bind_host):
        raise SettingsError(
            f"the master would accept workers at {options.master_bind_host} without a secret: set the same "
            f"{VARIABLE} for the master and every worker, for example to the output of `openssl rand -hex 32`, "
            f"or --master-bind-host {LOOPBACK}"
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def _keys(secret: str) -> tuple[bytes, bytes]:
    """Derive private and public key of the master from the secret; slow on purpose, against guesses."""
    private = z85.encode(scrypt(secret.encode(), salt=b"triton-loadgen", n=2**14, r=8, p=1, dklen=32))
    return private, zmq.curve_public(private)


def _watch(monitor: Any, *, is_master: bool) -> None:
    """Report handshakes that fail: the master once, a worker before it exits."""
    failures = 0
    while (event := recv_monitor_message(monitor)["event"]) != zmq.EVENT_MONITOR_STOPPED:
        failures = failures + 1 if event & _FAILED else 0
        if is_master and failures == 1:
            say(f"a worker was refused: its {VARIABLE} is not the master's")
        # after another failure than that without detail, ZeroMQ does not try again
        if not is_master and (failures == _REFUSALS or event & _FINAL):
            say(f"error: the master refused this worker: set {VARIABLE} to the master's, or unset it if it has none")
            sys.exit(int(ExitCode.USAGE))
    monitor.close()
