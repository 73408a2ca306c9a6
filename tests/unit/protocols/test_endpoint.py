"""Where requests go: URLs as users write them."""

from typing import Literal

import pytest

from loadgen.base.errors import SettingsError
from loadgen.protocols.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "protocol", "address", "tls"),
    [
        ("http://triton.example", "http", "triton.example:8000", False),
        ("http://triton.example:80/", "http", "triton.example:80", False),
        ("https://triton.example", "http", "triton.example:443", True),
        ("https://triton.example:8443", "http", "triton.example:8443", True),
        ("grpc://triton.example", "grpc", "triton.example:8001", False),
        ("grpcs://triton.example", "grpc", "triton.example:8001", True),
        ("http://[::1]:8000", "http", "[::1]:8000", False),
        ("grpc://[::1]", "grpc", "[::1]:8001", False),
    ],
)
def test_addresses(url: str, protocol: Literal["grpc", "http"], address: str, tls: bool) -> None:
    """Without a port the URL means Triton's own, or HTTPS's; an IPv6 address keeps its brackets."""
    assert Endpoint.parse(url, protocol) == Endpoint(address=address, protocol=protocol, tls=tls)


@pytest.mark.parametrize("url", ["http://h:65536", "http://u:SECRET@h", "http://h/v2", "http://h#f", "tritron"])
def test_refusals(url: str) -> None:
    """What is no base URL is refused with what a good one looks like, and without repeating a password."""
    with pytest.raises(SettingsError, match=r"target .*write it like http://127\.0\.0\.1:8000") as caught:
        Endpoint.parse(url, "http")
    assert "SECRET" not in str(caught.value)
