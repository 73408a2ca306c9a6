"""What a server can do to the load client, over both protocols: each script has its row written by hand."""

from contextlib import closing
from itertools import pairwise

import pytest

from loadgen.protocols.answer import Answer
from loadgen.protocols.endpoint import ClientName
from support.servers.hostile import PLAIN, SCRIPTS, Script
from support.servers.reference import BLS, client_of
from support.servers.scripted import scripted


def answer_to(script: Script, client: ClientName = "built-in") -> Answer:
    model = BLS if script.stream else PLAIN
    with (
        scripted(script.steps) as port,
        closing(client_of(script.protocol, port, model, stream=script.stream, client=client)) as opened,
    ):
        return opened.infer("x", 8, script.timeout_s)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_server_does_anything(name: str) -> None:
    """The row has the outcome, the cause, the tokens and the bytes that are written beside the script."""
    script = SCRIPTS[name]
    answer = answer_to(script)
    assert (answer.outcome, answer.output_tokens) == (script.outcome, script.tokens), answer.cause
    if script.cause is None:
        assert answer.cause is None
    else:
        assert script.cause in (answer.cause or "")
        assert len(answer.cause or "") <= 160
    if script.size is not None:
        assert answer.received_bytes == script.size
    assert len(answer.token_times) == (script.tokens or 0)
    if name.endswith("thousands"):
        assert answer.coalesced > 4000  # in as many reads as there are packets
    assert all(a <= b for a, b in pairwise(answer.token_times))


def test_enough_scripts() -> None:
    """Both protocols have their share."""
    assert sum(each.protocol == "http" for each in SCRIPTS.values()) >= 30
    assert sum(each.protocol == "grpc" for each in SCRIPTS.values()) >= 30


_WINDOWS = "grpcio announces windows of 64 KiB, which scripts do not wait for"
DIFFERENCES: dict[str, tuple[str, int | None, str]] = {
    "http-two-answers": ("ok", 2, "geventhttpclient reads what follows the answer as a part of it"),
    "http-long": ("error", 0, "geventhttpclient parses what follows the answer before it returns the answer"),
    "http-length-and-chunks": ("error", 0, "geventhttpclient refuses a length beside chunks, which RFC 9112 overrides"),
    "http-equal-lengths": ("error", 0, "geventhttpclient refuses equal lengths, which RFC 9110 allows"),
    "http-line-feeds": ("error", 0, "geventhttpclient refuses lines without a carriage return"),
    "http-short-error": ("error", 0, "geventhttpclient loses the status of an error whose body is cut"),
    "http-200-queue-full": ("error", 0, "our use of geventhttpclient: a body that is no event is not looked at"),
    "grpc-interim": ("error", 0, "grpcio takes an interim answer for the answer"),
    "grpc-huge-token": ("error", 0, _WINDOWS),
    "grpc-http-11-503": ("error", 0, "grpcio does not report the status of an answer over HTTP/1.1"),
}
"""Scripts that the reference clients answer with another outcome, or other tokens (None for any number), and why."""

# tritonclient raises AttributeError for an empty answer; grpcio ignores data before a header until the time-out; what
# geventhttpclient makes of interim answers depends on the reads in which they arrive
_NOT_COMPARED = ("grpc-unary-nothing", "grpc-data-first", "http-interim")
COMPARED = [
    name
    for name, script in SCRIPTS.items()
    if name in DIFFERENCES
    or (script.outcome == "ok" and name not in _NOT_COMPARED and "thousands" not in name and "closed" not in name)
    or (
        (script.outcome in ("error", "rejected") and name.startswith("http-") and name not in _NOT_COMPARED)
        and "endless" not in name
        and "20-MB" not in name
    )
]
"""Of streams that break, grpcio discards messages that it has received, or not, as its threads run."""


@pytest.mark.parametrize("name", COMPARED)
def test_the_reference_clients_agree_but_for_a_list(name: str) -> None:
    """The same outcome and tokens, or the difference of the list, so that a library without the fault is noticed."""
    script = SCRIPTS[name]
    outcome, tokens, _ = DIFFERENCES.get(name, (script.outcome, script.tokens, ""))
    answer = answer_to(script, "reference")
    assert answer.outcome == outcome, answer.cause
    if name not in DIFFERENCES or tokens is not None:
        assert answer.output_tokens == tokens


def test_the_list_of_differences() -> None:
    """Every difference is one of a script that is compared."""
    assert DIFFERENCES.keys() <= set(COMPARED)
