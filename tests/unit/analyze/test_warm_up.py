"""The warm-up by MSER-5, and requests that are not judged because they were due in the warm-up of the settings."""

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from loadgen.analyze.scaling.replicas import fleet
from loadgen.analyze.warm_up import BATCH, MAX_BATCHES, constant_load_s, cut, warm_up
from loadgen.scenario.rates import Constant, Spike, Step, Wave
from support.runs.tables import by_code, info, life, observed, request, tables

LOAD = {"kind": "constant", "per_s": 5.0, "duration_s": 200.0}
STAGES = (("constant", 0.0, 200.0),)


def found(requests, events=(), **settings):
    run = observed(
        info(length_s=200.0, stages=STAGES, settings={"load": LOAD, **settings}), requests=requests, events=events
    )
    return warm_up(run, fleet(run))


def cold_start(cold=60, total=1000):
    """Five requests a second: the first 6 % have a TTFT of 19.9 s, the others of 0.1 s."""
    return [request(n, n / 5, 19.9 if n < cold else 0.1, 21.0) for n in range(total)]


@pytest.mark.parametrize("cold", [5, 60, 250])
def test_a_step_is_cut_where_it_ends(cold):
    """Values of 20 and then of 1: the rest has no variance at all, wherever the step is."""
    values = np.concatenate((np.full(cold, 20.0), np.full(1000 - cold, 1.0)))
    assert cut(values) == cold


def test_the_end_of_a_step_is_known_to_one_batch():
    """12 cold values end within the third batch of five."""
    values = np.concatenate((np.full(12, 20.0), np.full(988, 1.0)))
    assert cut(values) == 15


@pytest.mark.parametrize("seed", range(5))
def test_a_decay_is_cut_within_a_few_time_constants(seed):
    """10·exp(−n/40) on noise of 0.1 around 1: over after 40·ln(100) = 184 values, when it is as large as the noise."""
    random = np.random.default_rng(seed)
    n = np.arange(2000)
    values = 1 + 10 * np.exp(-n / 40) + random.normal(0, 0.1, len(n))
    assert 2 * 40 <= cut(values) <= 10 * 40


def test_noise_has_no_warm_up_in_99_of_100_series():
    """The rate of false proposals is at most 1 %: of 300 series at most 9 (binomial, one in 1,000 has more)."""
    random = np.random.default_rng(7)
    series = [random.exponential(1.0, 500) for _ in range(150)] + [random.lognormal(0, 1, 500) for _ in range(150)]
    assert sum(cut(values) > 0 for values in series) <= 9


def test_faster_values_at_the_start_are_no_warm_up():
    """A queue that grows, and a drift over the whole series."""
    assert cut(np.concatenate((np.full(60, 0.1), np.full(940, 20.0)))) == 0
    assert cut(np.linspace(20.0, 0.1, 1000)) == 0
    assert cut(np.full(1000, 3.0)) == 0


def test_a_long_series_has_larger_batches():
    """100,000 values are 2,000 batches of 50."""
    values = np.concatenate((np.full(10_000, 20.0), np.full(90_000, 1.0)))
    assert cut(values) == 10_000
    assert BATCH * MAX_BATCHES == 10_000


@pytest.mark.parametrize(
    ("load", "length_s"),
    [
        (Constant(per_s=3, duration_s=40), 40.0),
        (Constant(per_s=3, duration_s=40) * 2, 40.0),
        (Step(levels_per_s=(1, 2), hold_s=25), 25.0),
        (Spike(base_per_s=1, peak_per_s=9, start_s=12, width_s=5, duration_s=60), 12.0),
        (Constant(per_s=3, duration_s=40).then(Wave(trough_per_s=1, peak_per_s=2, period_s=60)), 40.0),
        (Constant(per_s=3, duration_s=40) + Step(levels_per_s=(1, 2), hold_s=25), 25.0),
        (Wave(trough_per_s=1, peak_per_s=2, period_s=60), None),
        (Wave(trough_per_s=1, peak_per_s=2, period_s=60) + Constant(per_s=3, duration_s=40), None),
    ],
)
def test_the_constant_load_at_the_start(load, length_s):
    """As long as the rate is the same; a wave changes at once."""
    assert constant_load_s(load.model_dump(mode="json")) == length_s


@pytest.mark.parametrize("load", [None, [], "x", {}, {"kind": "sequence", "parts": []}, {"kind": "scaled"}])
def test_an_unknown_load_is_not_constant(load):
    """The settings of a damaged folder, or of another version."""
    assert constant_load_s(load) is None


def test_a_cold_start_is_proposed_as_warm_up():
    """60 of 1,000 requests took 19.9 s; the first request of the steady state was due at 60 / 5 = 12 s."""
    made = found(cold_start())
    assert (made.setting_s, made.cold_requests, made.proposal_s, made.metric) == (0.0, 0, 12.0, "ttft")
    assert (made.mean_before_s, made.mean_after_s) == (pytest.approx(19.9), pytest.approx(0.1))


def test_a_steady_run_has_no_warm_up():
    """The proposal is 0 s, which is known, and not missing."""
    assert found(cold_start(cold=0)).proposal_s == 0.0


@pytest.mark.parametrize(
    ("rows", "events", "settings", "why"),
    [
        (cold_start(), [*life("a", -9, -5), *life("b", 1, 9)], {}, "the number of ready replicas changed"),
        (cold_start(), (), {"load": {"kind": "wave"}}, "the load was not constant"),
        (cold_start(total=199), (), {}, "fewer than 200 requests"),
    ],
)
def test_no_proposal_has_a_reason(rows, events, settings, why):
    """Latency that falls because the fleet grows is no warm-up."""
    made = found(rows, events, **settings)
    assert made.proposal_s is None
    assert why in made.why_missing


def test_requests_of_the_warm_up_are_not_judged():
    """TTFT p95 of all is 19.9 s and of the warm ones 0.1 s; the cold ones are counted, and shown apart."""
    limits = [("ttft", "p95", 1.0), ("failed", "ratio", 0.0), ("attainment", "ratio", 1.0)]
    rows = cold_start()
    rows[3] = request(3, 0.6, None, None, "error", "not loaded", ended_s=0.7)
    shared = {"length_s": 200.0, "stages": STAGES, "limits": limits, "autoscaler": None}
    judged = analyze(info(**shared, settings={"load": LOAD, "warm_up_s": 12.0}), tables(requests=rows))
    assert judged.verdict == "pass"
    assert by_code(judged.findings, "slo.ttft.p95").measured == pytest.approx(0.1)
    assert by_code(judged.findings, "slo.failed.ratio").measured == 0.0
    assert by_code(judged.findings, "validity.samples").measured == 940
    assert (judged.warm_up.cold_requests, judged.attainment.whole.requests) == (60, 940)
    assert judged.attainment.windows[0].start_s == 12.0
    assert (judged.headline.judged_requests, judged.headline.slow_requests) == (940, 0)
    cold, warm = judged.by_warm_up
    assert (cold.name, cold.scheduled, cold.failed, cold.ttft.p50) == ("cold", 60, 1, pytest.approx(19.9))
    assert (warm.name, warm.scheduled, warm.ttft.p95) == ("warm", 940, pytest.approx(0.1))
    assert judged.whole.scheduled == 1000
    all_judged = analyze(info(**shared, settings={"load": LOAD}), tables(requests=rows))
    assert (all_judged.verdict, all_judged.by_warm_up) == ("fail", ())


def test_a_warm_up_without_any_request_after_it_cannot_be_judged():
    """As after a stop during the warm-up."""
    limits = [("ttft", "p95", 1.0), ("failed", "ratio", 0.0), ("attainment", "ratio", 1.0)]
    run = info(length_s=200.0, stages=STAGES, limits=limits, autoscaler=None, settings={"warm_up_s": 500.0})
    made = analyze(run, tables(requests=cold_start()))
    assert made.verdict == "invalid"
    assert "after the warm-up of 500 s" in by_code(made.findings, "slo.ttft.p95").advice
    assert "after the warm-up of 500 s" in by_code(made.findings, "slo.failed.ratio").advice
