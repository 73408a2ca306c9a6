"""From tables to sorted arrays on the load's own axis."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadgen.analyze.measure import measure
from loadgen.analyze.observed import Tables
from loadgen.analyze.prepare import observe
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.tables import REQUESTS
from support.runs.tables import event, info, observed, request, series


def test_times_count_from_the_start_of_the_load_and_requests_are_sorted_by_due_time():
    """The times in the tables are 64 s later, and their rows have no order."""
    run = observed(requests=[request(1, 5.0), request(0, 2.0)], tokens={1: [5.5, 6.0], 0: [2.5]})
    assert run.requests.ids.tolist() == [0, 1]
    assert run.requests.scheduled_s.tolist() == [2.0, 5.0]
    (answers,) = run.answers
    assert answers.t_s.tolist() == [5.5, 6.0, 2.5]
    assert answers.row.tolist() == [1, 0]
    assert answers.lengths.tolist() == [2, 1]
    assert measure(run).responses.tolist() == [1, 2]


def test_tokens_of_unrecorded_requests_are_skipped():
    """Their due times are unknown, so they have no latency."""
    run = observed(requests=[request(3, 1.0)], tokens={2: [9.0], 3: [1.5], 4: [9.0]})
    assert [answers.t_s.tolist() for answers in run.answers] == [[1.5]]


def test_the_tokens_of_a_request_are_spread_over_its_responses():
    """12 tokens in 3 answers are 4 each; without a count an answer is one token."""
    run = observed(
        requests=[request(0, 1.0, tokens=12), request(1, 1.0, tokens=None)],
        tokens={0: [1.5, 1.6, 1.7], 1: [2.0]},
    )
    received = measure(run).tokens
    assert [received.within(0.0, end_s, closed=True) for end_s in (1.55, 1.65, 1.75, 2.0)] == [4.0, 8.0, 12.0, 13.0]


def test_a_sample_that_was_collected_twice_counts_once():
    """Overlapping reads of Prometheus repeat samples; the later row wins."""
    rows = series("ratio", "a", {2.0: 1.0, 1.0: 0.5}) + series("ratio", "a", {2.0: 3.0})
    found = observed(samples=rows).signals["ratio"]["a"]
    assert found.t_s.tolist() == [1.0, 2.0]
    assert found.value.tolist() == [0.5, 3.0]


def test_a_sample_of_the_fleet_has_no_replica():
    """A missing pod becomes the empty name."""
    assert list(observed(samples=series("ratio", None, {1.0: 1.0})).signals["ratio"]) == [""]


def test_event_data_that_is_not_a_json_object_is_ignored():
    """A damaged message must not lose the run."""
    broken = [event(1.0, "part_died") | {"data": text} for text in ("{", "[1]", "7", None)]
    assert [each.data for each in observed(events=broken).events] == [{}, {}, {}, {}]


def test_only_requests_ended_by_a_stop_of_the_run_are_not_judged():
    """`run stopped` on a cut or unsent request; the same text on any other outcome is a coincidence."""
    run = observed(
        requests=[
            request(0, 1.0),
            request(1, 2.0, None, None, "cut_off", "run stopped", ended_s=3.0),
            request(2, 3.0, None, None, "not_sent", "run stopped", lag_s=None),
            request(3, 4.0, None, None, "not_sent", "no free user", lag_s=None),
        ]
    )
    assert run.requests.judged.tolist() == [True, False, False, True]
    assert run.requests.due.tolist() == [True, True, False, True]


def test_an_interrupted_run_ends_with_the_last_record_of_a_request():
    """The end of the load is not recorded, so the last response counts; later samples do not."""
    run = observed(
        info(length_s=None, state="loading"),
        requests=[request(0, 10.0, e2e_s=2.0), request(1, 11.0)],
        samples=series("up", "a", {30.0: 1.0}),
    )
    assert run.interrupted
    assert run.length_s == 12.0
    assert run.last_s == 30.0


def test_without_a_start_there_is_no_length():
    """A run that died while its stack came up has no load."""
    run = observed(info(zero_s=None, state="starting"))
    assert run.length_s is None
    assert run.end_s == 0.0


def test_an_empty_folder_can_be_read(tmp_path):
    """No part of any table: every array is empty, nothing fails."""
    folder = RunFolder(tmp_path)
    run = observe(info(), Tables(**{name: folder.read(name) for name in ("requests", "tokens", "samples", "events")}))
    assert len(run.requests) == 0
    assert list(run.answers) == []
    assert run.signals == {}
    assert run.events == ()


def test_missing_numbers_are_nan_and_missing_texts_are_none():
    """They are neither 0 nor empty strings."""
    run = observed(requests=[request(0, 1.0, None, None, "rejected", None)])
    assert math.isnan(run.requests.first_s[0])
    assert math.isnan(run.requests.output_tokens[0])
    assert run.requests.cause[0] is None
    assert np.isnan(run.requests.ttft_s).all()


def test_the_service_time_is_prefill_and_decode_of_an_answered_request():
    """A request that was cut off has no service time; one without times of the engine has none either."""
    times = {"engine_queue_s": 2.0, "engine_prefill_s": 0.25, "engine_decode_s": 1.5, "pod": "a"}
    cut = request(1, 2.0, outcome="cut_off", cause="run stopped")
    requests = observed(requests=[request(0, 1.0) | times, cut | times, request(2, 3.0)]).requests
    assert requests.service_s[0] == 1.75
    assert np.isnan(requests.service_s[1:]).all()
    assert requests.engine_queue_s[:2].tolist() == [2.0, 2.0]
    assert math.isnan(requests.engine_queue_s[2])
    assert requests.pod.tolist() == ["a", "a", None]


def test_a_negative_time_in_the_engine_is_not_measured():
    """No engine works for less than no time."""
    times = {"engine_queue_s": -1.0, "engine_prefill_s": -1e-9, "engine_decode_s": 0.0}
    requests = observed(requests=[request(0, 1.0) | times]).requests
    assert math.isnan(requests.engine_queue_s[0])
    assert math.isnan(requests.engine_prefill_s[0])
    assert math.isnan(requests.service_s[0])
    assert requests.engine_decode_s[0] == 0.0


def test_a_folder_of_an_older_release_has_no_times_of_the_engine(tmp_path):
    """Its parts lack the columns: the times are NaN and the replica is None, in rows of newer parts they are read."""
    new = {"engine_queue_s": 2.0, "engine_prefill_s": 0.25, "engine_decode_s": 1.5, "pod": "a"}
    older = REQUESTS.remove(REQUESTS.get_field_index("token_source"))
    for column in new:
        older = older.remove(older.get_field_index(column))
    (tmp_path / "requests").mkdir()
    part = pa.Table.from_pylist([request(0, 1.0)], schema=older)
    pq.write_table(part, tmp_path / "requests/part-load0-000000.parquet")
    folder = RunFolder(tmp_path)
    folder.append("requests", "load1", [request(1, 2.0) | new])
    names = ("requests", "tokens", "samples", "events")
    requests = observe(info(), Tables(**{name: folder.read(name) for name in names})).requests
    assert requests.ids.tolist() == [0, 1]
    for column in ("engine_queue_s", "engine_prefill_s", "engine_decode_s", "service_s"):
        assert np.isnan(getattr(requests, column)).tolist() == [True, False]
    assert requests.pod.tolist() == [None, "a"]
