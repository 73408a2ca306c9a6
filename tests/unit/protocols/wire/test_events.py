"""Server-sent events: what is an event, when it arrived, and the limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.protocols.wire import events
from loadgen.protocols.wire.events import events_in
from loadgen.protocols.wire.exchange import Exchange


def exchange_of(*reads: bytes, complete: bool = True) -> Exchange:
    """Return an exchange whose reads arrived at 1, 2, … s."""
    exchange = Exchange(b"", 1.0, lambda _: None)
    exchange.status, exchange.complete = 200, complete
    for number, data in enumerate(reads, 1):
        exchange.add(data, float(number))
    return exchange


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\r\n\r\ndata:b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", [b"a\nb", b"c"]),
        (b"data: a\n: comment\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\n: comment\n\ndata: b\n\n", [b"a", b"b"]),
        (b": keep-alive\n\n: keep-alive\n\ndata: a\n\n", [b"a"]),
        (b"event: message\nid: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b", [b"a", b"b"]),
        (b"data:  a\n\n", [b" a"]),
        (b"metadata: a\n\ndata: b data: c\n\n", [b"b data: c"]),
        (b"", []),
    ],
)
def test_events(stream: bytes, expected: list[bytes]) -> None:
    """Lines of data up to an empty line are one event; comments and other fields are passed over."""
    assert events_in(exchange_of(stream))[0] == expected


def test_an_event_arrives_with_its_last_line_of_data() -> None:
    """An event has arrived when its last line of data has, and does not wait for the empty line after it."""
    found = events_in(exchange_of(b"data: a\n", b"\nda", b"ta: b\nda", b"ta: c\n", b"\n"))
    assert found == ([b"a", b"b\nc"], [1.0, 4.0], "")


def test_a_line_without_end_counts_only_in_a_whole_answer() -> None:
    """A line that a time-out cut is no event."""
    assert events_in(exchange_of(b"data: a\n\ndata: b", complete=False))[0] == [b"a"]


@given(
    st.lists(st.sampled_from([b"data: a\n\n", b"data: b\r\ndata: c\r\n\r\n", b": c\n\n", b"data: d\r\r"])), st.data()
)
def test_how_a_stream_is_cut_into_reads_does_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    """Any cuts give the same events, whose arrivals are in order and within the reads."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    reads = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found, times, fault = events_in(exchange_of(*reads))
    assert (found, fault) == (events_in(exchange_of(stream))[0], "")
    assert times == sorted(times)
    assert all(1 <= at <= len(reads) for at in times)


def test_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger event, or more events, end the stream with a fault; what came before counts."""
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 2048)
    monkeypatch.setattr(events, "MAX_EVENTS", 3)
    large = b"data: a\n\n" + b"data: b\n" * 2000
    assert events_in(exchange_of(large)) == ([b"a"], [1.0], "an answer of more than 2 KiB")
    found, _, fault = events_in(exchange_of(b"data: a\n\n" * 5))
    assert (len(found), fault) == (3, "an answer of more than 3 events")
