"""What an answer says about engine and replica, over both protocols, streamed and not. Needs only loopback."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from loadgen.protocols.answer import Answer
from loadgen.protocols.detect import Model
from support.servers.answers import Outputs, answering

TEXT: Outputs = {"text_output": "a"}
ARRIVAL_NS = 1_700_000_000_000_000_000
"""Of a clock that is not this machine's."""
UNFINISHED: Outputs = {
    "arrival_time_ns": ARRIVAL_NS,
    "first_scheduled_time_ns": ARRIVAL_NS + 2_000_000_000,
    "first_token_time_ns": ARRIVAL_NS + 2_125_000_000,
    "last_token_time_ns": 0,
}
FINISHED: Outputs = UNFINISHED | {"last_token_time_ns": ARRIVAL_NS + 5_125_000_000}
NOT_MEASURED = (None, None, None)


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["stream", "whole"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def answer_to(
    protocol: str, responses: Sequence[Outputs], *, stream: bool, declared: bool = True, **served: Any
) -> Answer:
    """Return what the client makes of a server's responses; without streaming only the last one is sent."""
    model = Model(
        name="m",
        family="trtllm",
        batched=True,
        decoupled=stream,
        streams=True,
        counts_tokens=False,
        engine_times=declared,
    )
    sent = responses if stream else responses[-1:]
    with answering(protocol, model, sent, stream=stream, **served) as client:
        return client.infer("x", 8, 10.0)


def test_the_last_response_has_the_times(protocol: str, stream: bool) -> None:
    """Queue, prefill and decode are durations, whatever clock the engine has."""
    answer = answer_to(protocol, [TEXT | UNFINISHED, TEXT | FINISHED], stream=stream)
    assert answer.outcome == "ok"
    assert answer.engine == (2.0, 0.125, 3.0)


def test_times_as_text(protocol: str, stream: bool) -> None:
    """Triton's model for the LLM API sends its times as strings."""
    texts = {name: str(value) for name, value in FINISHED.items()}
    assert answer_to(protocol, [TEXT | texts], stream=stream).engine == (2.0, 0.125, 3.0)


def test_a_model_without_times(protocol: str, stream: bool) -> None:
    """The times are null, and the replica is not observed."""
    answer = answer_to(protocol, [TEXT, TEXT], stream=stream)
    assert (answer.outcome, answer.engine, answer.pod) == ("ok", NOT_MEASURED, None)


def test_outputs_of_a_model_that_does_not_declare_all_times_are_not_read(protocol: str, stream: bool) -> None:
    """Only four times together have a meaning."""
    answer = answer_to(protocol, [TEXT | FINISHED], stream=stream, declared=False)
    assert (answer.outcome, answer.engine) == ("ok", NOT_MEASURED)


def test_a_stream_that_breaks_keeps_what_was_said(protocol: str) -> None:
    """The engine had not generated its last token, so there is no decode time; the replica is known."""
    pod: Outputs = {"pod_name": "triton-0"}
    answer = answer_to(protocol, [TEXT | UNFINISHED | pod, TEXT | UNFINISHED], stream=True, error="the engine failed")
    assert answer.outcome == "cut_off"
    assert answer.engine == (2.0, 0.125, None)
    assert answer.pod == "triton-0"


@pytest.mark.parametrize(
    ("responses", "served", "pod"),
    [
        ([TEXT, TEXT], {"parameters": {"pod_name": "a"}}, "a"),
        ([TEXT | {"pod_name": "b"}], {}, "b"),
        ([TEXT], {"headers": {"X-Pod-Name": "c"}}, "c"),
        ([TEXT], {"parameters": {"pod_name": "a"}, "headers": {"X-Pod-Name": "c"}}, "a"),
        ([TEXT], {"parameters": {"pod_name": ""}, "headers": {"X-Pod-Name": "c"}}, "c"),
        ([TEXT], {"headers": {"X-Pod-Name": "x" * 254}}, None),
        ([TEXT | {"pod_name": "\x1b[1m"}], {}, None),
    ],
    ids=["parameter", "output", "header", "parameter-first", "empty", "too-long", "escape"],
)
def test_the_replica_that_answered(
    protocol: str, stream: bool, responses: Sequence[Outputs], served: Mapping[str, Any], pod: str | None
) -> None:
    """A response parameter or an output names it, or else a header; what is no name is not observed."""
    answer = answer_to(protocol, responses, stream=stream, **served)
    assert (answer.outcome, answer.pod) == ("ok", pod)


def test_only_the_first_response_of_a_stream_names_the_replica(protocol: str) -> None:
    """A name in each of thousands of responses would cost server and network more than the answer."""
    assert answer_to(protocol, [TEXT | {"pod_name": "a"}, TEXT, TEXT], stream=True).pod == "a"


def test_the_header_of_a_rejection_names_the_replica(protocol: str, stream: bool) -> None:
    """A gateway names the replica whose queue was full."""
    headers = {"X-Pod-Name": "c"}
    answer = answer_to(protocol, [], stream=stream, headers=headers, error="Exceeds maximum queue size")
    assert (answer.outcome, answer.pod) == ("rejected", "c")
