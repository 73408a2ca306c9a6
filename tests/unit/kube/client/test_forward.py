"""The port-forward of a run: it goes on when files run out, and has more of them than `select()` knows."""

import errno
import resource
import socket
import threading
from typing import Any

import pytest

from loadgen.base.errors import StackError
from loadgen.kube.client.forward import serve, splice


class Listener:
    """A listener without files twice, then with a connection, then closed."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.closed = False

    def accept(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            self.closed = answer.errno == errno.EBADF
            raise answer
        return answer, None

    def fileno(self) -> int:
        return -1 if self.closed else 7


class NoPod:
    """A forward that leads nowhere, and says when it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def open(self) -> socket.socket:
        self.asked.set()
        raise StackError("no pod is ready")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ECONNABORTED, errno.ENOMEM])
def test_a_time_without_files_does_not_end_it(number: int) -> None:
    """What comes later is forwarded; only a listener that is closed ends it."""
    one, other = socket.socketpair()
    forward = NoPod()
    listener = Listener(OSError(number, "not now"), other, OSError(errno.EBADF, "closed"))
    with one:
        serve(listener, forward)  # type: ignore[arg-type]
        assert forward.asked.wait(10)
        assert listener.answers == []


def test_a_listener_that_is_closed_while_it_waits_ends_it() -> None:
    """As at the end of the process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, NoPod()))
        thread.start()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert not thread.is_alive()


def test_files_above_what_select_knows_are_spliced() -> None:
    """Descriptors from 1024 on, in both directions, until one side ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 1200:
        pytest.skip("this machine allows no process so many files")
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
                here.sendall(b"words")
                assert there.recv(16) == b"words"
            client.shutdown(socket.SHUT_WR)
            assert pod.recv(16) == b""
        thread.join(10)
        assert not thread.is_alive()
    finally:
        for each in low:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
