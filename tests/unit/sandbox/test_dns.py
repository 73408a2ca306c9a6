"""Resolution of Service names; the responses were recorded from CoreDNS."""

import struct

import pytest

from loadgen.sandbox.dns import build_query, parse_addresses, resolve

PROMETHEUS = bytes.fromhex(
    "0007850000010001000000000a70726f6d6574686575730a6d6f6e69746f72696e670373766307636c7573746572056c6f63616c0000010001"
    "0a70726f6d6574686575730a6d6f6e69746f72696e670373766307636c7573746572056c6f63616c00000100010000000500040a60c87f"
)
NO_SUCH_NAME = bytes.fromhex(
    "000785030001000000010000046e6f706501780373766307636c7573746572056c6f63616c000001000107636c7573746572056c6f63616c00"
    "00060001000000050044026e7303646e7307636c7573746572056c6f63616c000a686f73746d617374657207636c7573746572056c6f63616c"
    "006b05ee1800001c20000007080001518000000005"
)


def test_the_address_of_a_service_is_parsed():
    """The response has one address after an uncompressed name."""
    assert parse_addresses(PROMETHEUS) == ["10.96.200.127"]


def test_an_unknown_name_has_no_address():
    """The response has no answer records."""
    assert parse_addresses(NO_SUCH_NAME) == []


def test_a_query_has_the_question_of_the_response():
    """A query has id, flags and the name as labels with lengths."""
    query = build_query(7, "prometheus.monitoring.svc.cluster.local")
    assert query[:4] == struct.pack(">HH", 7, 0x0100)
    assert query[12:] == PROMETHEUS[12 : len(query)]


def test_pointers_and_aliases_are_skipped():
    """The response has an alias and then the address, both with pointers to the name of the question."""
    query = build_query(1, "a.svc.cluster.local")
    pointer = b"\xc0\x0c"
    alias = pointer + struct.pack(">2HLH", 5, 1, 5, 4) + b"\x01b" + pointer
    address = b"\x01b" + pointer + struct.pack(">2HLH", 1, 1, 5, 4) + bytes([10, 96, 0, 7])
    message = query[:6] + struct.pack(">H", 2) + query[8:] + alias + address
    assert parse_addresses(message) == ["10.96.0.7"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "svc.example"])
def test_other_hosts_are_unchanged(host: str):
    """Only Service names are resolved by the cluster's DNS."""
    assert resolve(host) == host
