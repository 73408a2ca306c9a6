"""Names of Services for whoever is no pod: the resolver of a node does not know them, here as on any cluster."""

import secrets
import socket
import struct

from loadgen.sandbox.config import DNS_IP, DOMAIN

_TIMEOUT_S = 2.0
_PORT = 53
_A, _INTERNET, _RECURSE = 1, 1, 0x0100
_HEADER_BYTES = 12


def resolve(host: str) -> str:
    """The address of `prometheus.monitoring.svc`, with or without the cluster's domain; other hosts as they are.

    Raises:
        OSError: the cluster's DNS does not answer, or knows no such name.
    """
    name = f"{host}.{DOMAIN}" if host.endswith(".svc") else host
    if not name.endswith(f".svc.{DOMAIN}"):
        return host
    number = secrets.randbits(16)
    with socket.socket(type=socket.SOCK_DGRAM) as dns:
        dns.settimeout(_TIMEOUT_S)
        dns.connect((DNS_IP, _PORT))
        dns.send(question(number, name))
        found = addresses(dns.recv(4096))
    if not found:
        raise OSError(f"no Service has the name {host}")
    return found[0]


def question(number: int, name: str) -> bytes:
    """A DNS message that asks for the IPv4 addresses of a name."""
    labels = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split("."))
    header = struct.pack(">6H", number, _RECURSE, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">2H", _A, _INTERNET)


def addresses(message: bytes) -> list[str]:
    """The IPv4 addresses in a DNS message that answers one question."""
    count = int(struct.unpack_from(">H", message, 6)[0])
    at = _after_name(message, _HEADER_BYTES) + 4
    found = []
    for _ in range(count):
        at = _after_name(message, at)
        kind, _, _, length = struct.unpack_from(">2HLH", message, at)
        at += 10
        if kind == _A:
            found.append(socket.inet_ntoa(message[at : at + length]))
        at += length
    return found


def _after_name(message: bytes, at: int) -> int:
    """Where a name ends: behind a zero, or behind a pointer to where it was written before."""
    while message[at] and message[at] < 0xC0:
        at += message[at] + 1
    return at + (2 if message[at] else 1)
