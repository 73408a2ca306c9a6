"""Resolves Service names outside of pods, where the resolver does not ask the cluster's DNS."""

import secrets
import socket
import struct

from loadgen.sandbox.config import DNS_IP, DOMAIN

_TIMEOUT_S = 2.0
_PORT = 53
_A, _INTERNET, _RECURSE = 1, 1, 0x0100
_HEADER_BYTES = 12


def resolve(host: str) -> str:
    """Return the address of a Service name, with or without the cluster's domain; other hosts are returned unchanged.

    Raises:
        OSError: the cluster's DNS does not answer, or there is no such Service.
    """
    name = f"{host}.{DOMAIN}" if host.endswith(".svc") else host
    if not name.endswith(f".svc.{DOMAIN}"):
        return host
    query_id = secrets.randbits(16)
    with socket.socket(type=socket.SOCK_DGRAM) as dns:
        dns.settimeout(_TIMEOUT_S)
        dns.connect((DNS_IP, _PORT))
        dns.send(build_query(query_id, name))
        addresses = parse_addresses(dns.recv(4096))
    if not addresses:
        raise OSError(f"there is no Service {host}")
    return addresses[0]


def build_query(query_id: int, name: str) -> bytes:
    """Return a DNS query for the IPv4 addresses of a name."""
    labels = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split("."))
    header = struct.pack(">6H", query_id, _RECURSE, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">2H", _A, _INTERNET)


def parse_addresses(response: bytes) -> list[str]:
    """Return the IPv4 addresses of a DNS response to a query with one question."""
    count = int(struct.unpack_from(">H", response, 6)[0])
    offset = _skip_name(response, _HEADER_BYTES) + 4
    addresses = []
    for _ in range(count):
        offset = _skip_name(response, offset)
        kind, _, _, length = struct.unpack_from(">2HLH", response, offset)
        offset += 10
        if kind == _A:
            addresses.append(socket.inet_ntoa(response[offset : offset + length]))
        offset += length
    return addresses


def _skip_name(message: bytes, offset: int) -> int:
    """Return the offset after a name, which ends with a zero or a pointer to an earlier name."""
    while message[offset] and message[offset] < 0xC0:
        offset += message[offset] + 1
    return offset + (2 if message[offset] else 1)
