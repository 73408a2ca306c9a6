"""Endpoints: URLs as users write them, and names of calls."""

from typing import Literal

import pytest

from loadgen.base.errors import SettingsError
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.openai import OpenAiModel
from loadgen.protocols.wire.openai_codec import OpenAiCodec


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
    """Ports default to Triton's, or to 443 for https; an IPv6 address keeps its brackets."""
    assert Endpoint.parse(url, protocol) == Endpoint(address=address, protocol=protocol, tls=tls)


@pytest.mark.parametrize("url", ["http://h:65536", "http://u:SECRET@h", "http://h/v2", "http://h#f", "tritron"])
def test_invalid_urls(url: str) -> None:
    """An invalid base URL is refused with an example of a valid one, and without repeating a password."""
    with pytest.raises(SettingsError, match=r"target .*write it like http://127\.0\.0\.1:8000") as caught:
        Endpoint.parse(url, "http")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "stream", "decoupled", "call"),
    [
        ("grpc", True, True, "ModelStreamInfer"),
        ("grpc", False, True, "ModelStreamInfer"),  # Triton rejects ModelInfer for decoupled models
        ("grpc", False, False, "ModelInfer"),
        ("http", True, True, "generate_stream"),
        ("http", False, True, "generate"),
    ],
)
def test_call_names(protocol: Literal["grpc", "http"], stream: bool, decoupled: bool, call: str) -> None:
    """Requests have the name of Triton's call."""
    model = Model(name="m", family="trtllm", batched=True, decoupled=decoupled, streams=True, counts_tokens=False)
    endpoint = Endpoint(address="127.0.0.1:1", protocol=protocol)
    assert endpoint.call_name(model, stream=stream) == call


@pytest.mark.parametrize(
    ("url", "address", "tls", "path"),
    [
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000", False, "/v1/completions"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", False, "/v1/completions"),
        ("http://gateway.example/team/v1/", "gateway.example:80", False, "/team/v1/completions"),
        ("https://[::1]/v1", "[::1]:443", True, "/v1/completions"),
    ],
)
def test_urls_of_openai(url: str, address: str, tls: bool, path: str) -> None:
    """Ports default to those of HTTP, and /v1 may be part of the URL or not."""
    endpoint = Endpoint.parse(url, "openai")
    assert (endpoint.address, endpoint.tls) == (address, tls)
    model = OpenAiModel(name="m", call="completions")
    assert OpenAiCodec(model, stream=True, connection=endpoint.connection).path == path
    assert endpoint.call_name(model, stream=True) == "completions"
