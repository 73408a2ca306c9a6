"""The port-forward survives a lack of file descriptors, and handles descriptors beyond the limit of `select()`."""

import errno
import resource
import socket
import threading
from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.kube.proxy.forward import serve, splice


class Listener:
    """A listener that raises or returns the given results."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.closed = False

    def accept(self) -> Any:
        result = self.results.pop(0)
        if isinstance(result, OSError):
            self.closed = result.errno == errno.EBADF
            raise result
        return result, None

    def fileno(self) -> int:
        return -1 if self.closed else 7


class NoPod:
    """A port-forward without a ready pod, which records that it was used."""

    def __init__(self) -> None:
        self.used = threading.Event()

    def open(self) -> socket.socket:
        self.used.set()
        raise StackError("no pod is ready")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOMEM])
def test_a_lack_of_file_descriptors_does_not_end_it(number: int) -> None:
    """Later connections are forwarded; only closing the listener ends it."""
    one, other = socket.socketpair()
    forward = NoPod()
    listener = Listener(OSError(number, "not now"), other, OSError(errno.EBADF, "closed"))
    with one:
        serve(listener, forward)  # type: ignore[arg-type]
        assert forward.used.wait(10)
        assert listener.results == []


def test_closing_the_listener_ends_it() -> None:
    """Even while it waits for a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, NoPod()))
        thread.start()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert not thread.is_alive()


def test_file_descriptors_beyond_the_limit_of_select_are_supported() -> None:
    """From 1024 on, in both directions, until one side closes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 1200:
        pytest.skip("the limit of open files is too low on this machine")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    low: list[socket.socket] = []
    try:
        while not low or low[-1].fileno() < 1024:
            low.extend(socket.socketpair())
        client, near = socket.socketpair()
        pod, far = socket.socketpair()
        assert min(near.fileno(), far.fileno()) > 1023
        thread = threading.Thread(target=splice, args=(near, far))
        thread.start()
        with pod, client:
            for here, there in ((client, pod), (pod, client)):
                there.settimeout(10)
                here.sendall(b"data")
                assert there.recv(16) == b"data"
            client.shutdown(socket.SHUT_WR)
            assert pod.recv(16) == b""
        thread.join(10)
        assert not thread.is_alive()
    finally:
        for each in low:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
