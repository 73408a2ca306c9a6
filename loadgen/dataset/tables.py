"""Defines the four tables of a run folder; `docs/dataset.md` describes their columns."""

from collections.abc import Mapping

import pyarrow as pa

REQUESTS = pa.schema(
    [
        pa.field("request_id", pa.int64(), nullable=False),
        pa.field("worker", pa.int16(), nullable=False),
        pa.field("scheduled_s", pa.float64(), nullable=False),
        pa.field("sent_s", pa.float64()),
        pa.field("first_token_s", pa.float64()),
        pa.field("last_token_s", pa.float64()),
        pa.field("ended_s", pa.float64()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("cause", pa.string()),
        pa.field("input_tokens", pa.int32(), nullable=False),
        pa.field("max_tokens", pa.int32(), nullable=False),
        pa.field("output_tokens", pa.int32()),
    ]
)
TOKENS = pa.schema(
    [
        pa.field("request_id", pa.int64(), nullable=False),
        pa.field("t_s", pa.list_(pa.float64()), nullable=False),
    ]
)
SAMPLES = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("signal", pa.string(), nullable=False),
        pa.field("pod", pa.string()),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
EVENTS = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("pod", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("data", pa.string()),
    ]
)
TABLES: Mapping[str, pa.Schema] = {
    "requests": REQUESTS,
    "tokens": TOKENS,
    "samples": SAMPLES,
    "events": EVENTS,
}


def load_writer() -> None:
    """Import pandas now instead of with the first table: the import blocks a process for a second."""
    pa.array([0.0])
