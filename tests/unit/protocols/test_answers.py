"""Answers over HTTP: whatever the events hold, the answer is an outcome that can be recorded."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.dataset.names import Outcome
from loadgen.dataset.tables import MAX_RUN_S
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import TIME_OUTPUTS
from loadgen.protocols.generate import Generate

MODEL = Model(
    name="m", family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=True, engine_times=True
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
EVENTS = VALUES | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("text_output", "num_output_tokens", "error", "pod_name", *TIME_OUTPUTS), VALUES)
)


@settings(max_examples=100, deadline=None)
@given(events=st.lists(EVENTS, max_size=5), garbage=st.binary(max_size=8))
def test_any_event(events: list[Any], garbage: bytes) -> None:
    """Any JSON and any bytes give an outcome, a count within its column and a cause that can be written."""
    bodies = Generate(MODEL, stream=True, redacted=str)
    lines = [json.dumps(event).encode() for event in events] + [garbage]
    answer = bodies.answer(lines, [float(number) for number in range(len(lines))], "", "", 10.0, {})
    assert answer.outcome in (Outcome.OK, Outcome.ERROR, Outcome.CUT_OFF, Outcome.REJECTED)
    assert (answer.cause is None) == (answer.outcome == Outcome.OK)
    assert answer.output_tokens is None or 0 <= answer.output_tokens < 2**31
    assert all(each is None or 0 <= each <= MAX_RUN_S for each in answer.engine)
    (answer.pod or "").encode()
    (answer.cause or "").encode()
    assert len(answer.cause or "") <= 160
