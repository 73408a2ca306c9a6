"""Latencies from the scheduled time, in groups."""

import itertools
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.latency import outcomes, per_replicas, per_stage, stage_spans, whole
from loadgen.analyze.measure import measure
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.causes import MAX_CAUSES
from loadgen.dataset.names import Cause
from support.runs.tables import info, life, observed, request

STAGES = (("low", 0.0, 10.0), ("high", 10.0, 20.0))


def test_latencies_count_from_the_due_time_not_from_the_send_time():
    """Due 1.0, sent 1.25, first token 2.0, last 3.0: TTFT 1, E2E 2, send lag 0.25."""
    run = observed(requests=[request(0, 1.0, 1.0, 2.0, lag_s=0.25)], tokens={0: [2.0, 2.5, 3.0]})
    made = whole(run, measure(run))
    assert (made.ttft.p50, made.e2e.p50, made.send_lag.p50) == (1.0, 2.0, 0.25)


def test_itl_is_over_gaps_and_tpot_over_requests():
    """Gaps 0.5, 0.5 and 2.0, of two requests: ITL has three values, TPOT the two means 0.5 and 2."""
    run = observed(
        requests=[request(0, 1.0, 1.0, 2.0, tokens=3), request(1, 1.0, 1.0, 3.0, tokens=2)],
        tokens={0: [2.0, 2.5, 3.0], 1: [2.0, 4.0]},
    )
    made = whole(run, measure(run))
    assert (made.itl.count, made.itl.p50, made.itl.max) == (3, 0.5, 2.0)
    assert (made.tpot.count, made.tpot.p50, made.tpot.max) == (2, 0.5, 2.0)


def test_tpot_uses_the_tokens_that_the_server_counted():
    """Two answers 1.5 s apart that carried 4 tokens: (last − first) / 3 = 0.5 s a token."""
    run = observed(requests=[request(0, 1.0, 1.0, 2.5, tokens=4)], tokens={0: [2.0, 3.5]})
    assert whole(run, measure(run)).tpot.p50 == 0.5


def test_a_response_without_streaming_has_no_gap():
    """Without streaming there is neither ITL nor TPOT, but output tokens count at the answer."""
    run = observed(info(length_s=10.0), requests=[request(0, 1.0, 2.0, 2.0, tokens=30)])
    made = whole(run, measure(run))
    assert made.itl.count == made.tpot.count == 0
    assert made.output_tokens_per_s == 3.0  # 30 tokens in 10 s


def test_a_cut_stream_keeps_its_first_token_but_has_no_e2e():
    """Its TTFT was measured; E2E is of answered requests only."""
    run = observed(requests=[request(0, 1.0), request(1, 2.0, 0.75, 1.0, "cut_off", "broken")])
    made = whole(run, measure(run))
    assert (made.scheduled, made.answered, made.failed) == (2, 1, 1)
    assert (made.ttft.count, made.ttft.max) == (2, 0.75)
    assert (made.e2e.count, made.e2e.max) == (1, 1.0)


def test_rates_count_by_due_time_and_by_end_within_the_span():
    """Stage of 10 s: 4 due in it, 3 of them answered in it (one answer comes 1 s after its end)."""
    run = observed(
        info(length_s=20.0, stages=STAGES),
        requests=[request(0, 1.0), request(1, 4.0), request(2, 7.0), request(3, 9.5, e2e_s=1.5)],
        tokens={0: [1.5, 2.0], 3: [10.0, 11.0]},
    )
    low, high = per_stage(run, measure(run), stage_spans(run))
    assert (low.offered_per_s, low.completed_per_s) == (0.4, 0.3)
    assert (high.scheduled, high.offered_per_s, high.completed_per_s) == (0, 0.0, 0.1)
    # low: 3 tokens of request 0 in two answers, 3 each of 1 and 2 at once; high: 3 of request 3
    assert low.output_tokens_per_s == pytest.approx(0.9)
    assert high.output_tokens_per_s == pytest.approx(0.3)


def test_the_last_response_is_part_of_the_load():
    """The load ends with its last answer: the rate of the whole run must count it."""
    run = observed(info(length_s=10.0), requests=[request(0, 9.0, e2e_s=1.0)])
    assert whole(run, measure(run)).completed_per_s == 0.1


def test_what_a_stop_kept_from_being_sent_was_never_due():
    """In flight at the stop: shown as stopped, with the TTFT that it had; not yet sent: only in the outcomes."""
    run = observed(
        info(length_s=4.0, state="stopped"),
        requests=[
            request(0, 1.0),
            request(1, 3.0, 0.25, 0.5, "cut_off", "run stopped"),
            request(2, 5.0, None, None, "not_sent", "run stopped", lag_s=None),
        ],
    )
    made = whole(run, measure(run))
    assert (made.scheduled, made.answered, made.failed, made.stopped) == (2, 1, 0, 1)
    assert (made.ttft.count, made.e2e.count) == (2, 1)
    assert sum(each.count for each in outcomes(run)) == 3


def test_stages_end_with_the_load():
    """Stopped at 12 s of stages 0 … 10, 10 … 20, 20 … 30."""
    run = observed(info(length_s=12.0, state="stopped", stages=(*STAGES, ("after", 20.0, 30.0))))
    assert [(span.name, span.start_s, span.end_s) for span in stage_spans(run)] == [
        ("low", 0.0, 10.0),
        ("high", 10.0, 12.0),
    ]


def test_requests_are_grouped_by_the_replicas_that_were_ready_when_they_were_due():
    """b is ready from 20 to 30 s of 60: 50 s with one replica, 10 s with two."""
    run = observed(
        requests=[request(0, 5.0), request(1, 25.0, ttft_s=0.25), request(2, 29.0), request(3, 31.0)],
        events=life("a", -9.0, -5.0) + life("b", 10.0, 20.0, 30.0, 32.0),
    )
    one, two = per_replicas(run, measure(run), fleet(run))
    assert (one.name, one.scheduled, one.offered_per_s) == ("1 replica", 2, 2 / 50)
    assert (two.name, two.scheduled, two.offered_per_s) == ("2 replicas", 2, 2 / 10)
    assert (one.start_s, one.end_s) == (None, None)
    assert two.ttft.p50 == 0.25


def test_without_replica_events_there_is_no_grouping_by_replicas():
    """A foreign URL shows no replica: the table is empty, not one of zero replicas."""
    run = observed(requests=[request(0, 5.0)])
    assert per_replicas(run, measure(run), fleet(run)) == ()


def test_outcomes_are_counted_by_cause_the_most_frequent_first():
    """Times are of the first and last end, or of the due time when there was no end."""
    run = observed(
        requests=[
            request(0, 1.0),
            request(1, 2.0, None, None, "error", "reset", ended_s=2.5),
            request(2, 3.0, None, None, "error", "reset", ended_s=3.5),
            request(3, 4.0, None, None, "not_sent", "no free user", lag_s=None),
        ]
    )
    assert [(each.outcome, each.cause, each.count, each.first_s, each.last_s) for each in outcomes(run)] == [
        ("error", "reset", 2, 2.5, 3.5),
        ("not_sent", "no free user", 1, 4.0, 4.0),
        ("ok", None, 1, 2.0, 2.0),
    ]


def test_failures_that_differ_in_an_identifier_have_one_cause():
    """100 errors whose text has a UUID, and 100 with a time stamp: two causes of 100 requests each."""
    texts = [f"request {UUID(int=n * 7**20)} failed" for n in range(100)]
    texts += [f"worker died at 2026-11-30T09:12:{n % 60:02}.{n:03}Z" for n in range(100)]
    run = observed(requests=[request(n, n / 4, None, None, "error", text) for n, text in enumerate(texts)])
    assert [(each.cause, each.count) for each in outcomes(run)] == [
        ("request UUID failed", 100),
        ("worker died at TIME", 100),
    ]


def test_the_number_of_causes_is_bounded():
    """Each of 3,000 failures has words of its own: the most frequent are listed, the others counted per outcome."""
    words = ["".join(letters) for letters in itertools.product("abcdefghijklmno", repeat=3)][:3000]
    rows = [request(n, n / 100, None, None, ("error", "rejected")[n % 2], word) for n, word in enumerate(words)]
    rows += [request(3000 + n, 50.0, None, None, "error", "words that many failures have") for n in range(5)]
    rows.append(request(3005, 51.0, None, None, "not_sent", "no free user", lag_s=None))
    found = outcomes(observed(requests=rows))
    assert (found[0].cause, found[0].count) == ("words that many failures have", 5)
    assert "no free user" in [each.cause for each in found]
    others = [each for each in found if each.cause == Cause.OTHER]
    assert found[-2:] == tuple(others)
    assert sum(each.causes for each in others) == 3001 - MAX_CAUSES
    assert len(found) == MAX_CAUSES + 3
    assert sum(each.count for each in found) == len(rows)


@given(
    st.lists(st.tuples(st.integers(0, 2200), st.sampled_from(["ok", "error", "cut_off", "timeout"])), max_size=40),
)
def test_every_request_is_in_one_stage(rows):
    """Counts of the stages add up to those of the run, also for arrivals outside every stage."""
    requests = [request(n, due / 100, outcome=outcome) for n, (due, outcome) in enumerate(rows)]
    run = observed(info(length_s=30.0, stages=STAGES), requests=requests)
    measured = measure(run)
    total, stages = whole(run, measured), per_stage(run, measured, stage_spans(run))
    for count in ("scheduled", "answered", "failed"):
        assert sum(getattr(stage, count) for stage in stages) == getattr(total, count)
    assert total.scheduled == total.answered + total.failed + total.stopped == len(rows)
    assert sum(stage.ttft.count for stage in stages) == total.ttft.count
