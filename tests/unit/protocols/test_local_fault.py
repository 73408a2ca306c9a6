"""Failures of this machine are recognized as such, over every protocol; those of the server are not."""

import errno
import os

import pytest

from loadgen.dataset.names import GENERATOR_CAUSES, Cause, Outcome
from loadgen.protocols.answer import classify_failure
from loadgen.protocols.local_fault import local_fault, local_fault_of_grpc

LOCAL = [
    (errno.EMFILE, Cause.NO_DESCRIPTOR),
    (errno.ENFILE, Cause.NO_DESCRIPTOR),
    (errno.EADDRNOTAVAIL, Cause.NO_PORT),
    (errno.ENOMEM, Cause.NO_MEMORY),
    (errno.ENOBUFS, Cause.NO_MEMORY),
]


@pytest.mark.parametrize(("number", "cause"), LOCAL)
def test_system_calls(number: int, cause: Cause) -> None:
    """An exception of a socket, and the text in which gRPC reports it; both become an error with the same cause."""
    assert local_fault(OSError(number, os.strerror(number))) == cause
    # the words of gRPC 1.76, which end in bytes of its memory
    details = (
        f"failed to connect to all addresses; last error: INTERNAL: ipv4:1.2.3.4:1: socket: {os.strerror(number)}\x00"
    )
    assert local_fault_of_grpc(details) == cause
    assert classify_failure("", cause, began=False) == (Outcome.ERROR, cause)
    assert cause in GENERATOR_CAUSES


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT])
def test_failures_of_the_server(number: int) -> None:
    """A refused or broken connection stays the server's."""
    assert local_fault(OSError(number, os.strerror(number))) is None
    details = f"failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:1: connect: {os.strerror(number)}"
    assert local_fault_of_grpc(details) is None


def test_a_server_without_descriptors_is_the_servers_fault() -> None:
    """The same words in a message of the server are a failure of the server."""
    assert local_fault_of_grpc("python backend: open: Too many open files") is None
    assert local_fault(ValueError("Too many open files")) is None
