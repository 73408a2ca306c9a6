"""Names of Services, asked of the cluster's DNS; messages as CoreDNS sent them."""

import struct

import pytest

from loadgen.sandbox.names import addresses, question, resolve

PROMETHEUS = bytes.fromhex(
    "0007850000010001000000000a70726f6d6574686575730a6d6f6e69746f72696e670373766307636c7573746572056c6f63616c0000010001"
    "0a70726f6d6574686575730a6d6f6e69746f72696e670373766307636c7573746572056c6f63616c00000100010000000500040a60c87f"
)
NO_SUCH_NAME = bytes.fromhex(
    "000785030001000000010000046e6f706501780373766307636c7573746572056c6f63616c000001000107636c7573746572056c6f63616c00"
    "00060001000000050044026e7303646e7307636c7573746572056c6f63616c000a686f73746d617374657207636c7573746572056c6f63616c"
    "006b05ee1800001c20000007080001518000000005"
)


def test_the_address_of_a_service_is_read_from_an_answer():
    """10.96.200.127, behind a name that is written out."""
    assert addresses(PROMETHEUS) == ["10.96.200.127"]


def test_a_name_that_nobody_has_has_no_address():
    """The answer has no records, only who says so."""
    assert addresses(NO_SUCH_NAME) == []


def test_a_question_is_what_the_answer_repeats():
    """Number, flags and the name with its lengths."""
    asked = question(7, "prometheus.monitoring.svc.cluster.local")
    assert asked[:4] == struct.pack(">HH", 7, 0x0100)
    assert asked[12:] == PROMETHEUS[12 : len(asked)]


def test_names_behind_pointers_and_aliases_are_passed_over():
    """An alias first, then the address, both by a pointer to the question's name."""
    asked = question(1, "a.svc.cluster.local")
    pointer = b"\xc0\x0c"
    alias = pointer + struct.pack(">2HLH", 5, 1, 5, 4) + b"\x01b" + pointer
    address = b"\x01b" + pointer + struct.pack(">2HLH", 1, 1, 5, 4) + bytes([10, 96, 0, 7])
    message = asked[:6] + struct.pack(">H", 2) + asked[8:] + alias + address
    assert addresses(message) == ["10.96.0.7"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "svc.example"])
def test_other_hosts_stay_as_they_are(host: str):
    """The cluster's DNS is not asked for them."""
    assert resolve(host) == host
