"""What a server can do to the load client, over both protocols: each script has its row written by hand."""

from contextlib import closing
from itertools import pairwise

import pytest

from loadgen.protocols.answer import Answer
from support.servers.hostile import PLAIN, SCRIPTS, Script
from support.servers.reference import BLS, client_of
from support.servers.scripted import scripted


def answer_to(script: Script) -> Answer:
    model = BLS if script.stream else PLAIN
    with (
        scripted(script.steps) as port,
        closing(client_of(script.protocol, port, model, stream=script.stream)) as opened,
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
