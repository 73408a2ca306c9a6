"""Recognizes failures of this machine, such as a lack of file descriptors: they say nothing about the server."""

import errno
import os

from loadgen.dataset.names import Cause

_CAUSES = {
    errno.EMFILE: Cause.NO_DESCRIPTOR,
    errno.ENFILE: Cause.NO_DESCRIPTOR,
    errno.EADDRNOTAVAIL: Cause.NO_PORT,
    errno.EADDRINUSE: Cause.NO_PORT,
    errno.ENOMEM: Cause.NO_MEMORY,
    errno.ENOBUFS: Cause.NO_MEMORY,
}
_TEXTS = {os.strerror(number): cause for number, cause in _CAUSES.items()}
_GRPC_DID_NOT_CONNECT = "failed to connect to all addresses"


def local_fault(error: BaseException) -> Cause | None:
    """Return the cause if an exception reports that this machine lacks something; None for any other exception."""
    if isinstance(error, MemoryError):
        return Cause.NO_MEMORY
    return _CAUSES.get(error.errno or 0) if isinstance(error, OSError) else None


def local_fault_of_grpc(details: str) -> Cause | None:
    """Return the same for the details of an RPC that failed: gRPC reports a failed system call as text.

    A server can send any text as well, so that only the library's own words for a connection that was never made count.
    """
    if not details.startswith(_GRPC_DID_NOT_CONNECT):
        return None
    return next((cause for text, cause in _TEXTS.items() if f": {text}" in details), None)
