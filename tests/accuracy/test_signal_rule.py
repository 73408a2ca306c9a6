"""What the autoscaler's rule and its samples change of the ratio, in simulated runs whose rule is known.

The expected parts come from the requests of the simulation, replica by replica. The counters have whole microseconds,
and the floor is found to 0.1 %, so every part is right to 0.1 %. The HPA reads whole thousandths: up to 0.001 is left.
"""

import math
from functools import cache
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import pytest

from loadgen.analyze.read import read_observed
from loadgen.analyze.results.signal import SignalCause
from loadgen.analyze.scaling.replicas import fleet
from loadgen.analyze.signal.causes import causes
from support.runs.synthetic import Plan, simulate, write
from support.runs.synthetic.plan import RATE_WINDOW_S
from support.runs.synthetic.replica import NETWORK_S, OTHER_COMPUTE_S, OTHER_QUEUE_S, Replica
from support.runs.synthetic.simulation import FIRST_SCRAPE_S

RATIOS = Plan(name="sum of ratios", cycles=1, other_model=True, rule="ratios")
SUMS = Plan(name="ratio of sums", cycles=1, other_model=True, rule="sums")
FLOOR = Plan(name="floor", cycles=1, trough_per_s=0.2, peak_per_s=1.2, slots=1, replicas=(1, 2), rule_floor=1.0)
"""A floor of one second of compute per second, which is a full replica of one slot: any other one reads low."""
BOTH = Plan(name="sum and floor", cycles=1, other_model=True, rule="ratios", rule_floor=0.5)
OTHER_ONLY = Plan(name="another model beside", cycles=1, other_model=True)
LATE_SERIES = Plan(name="late series", cycles=1, rule_from_s=25.0)
"""A new replica has its first sample of the rule 25 s after it is ready."""
SELDOM = Plan(name="seldom", cycles=1, rule_every_s=4)
"""At a sync, samples are up to 3 s old."""


@cache
def truth_of(plan: Plan):
    return simulate(plan)


@cache
def found(plan: Plan) -> tuple[SignalCause, ...]:
    """The causes from the run folder, without the rest of the analysis."""
    with TemporaryDirectory() as folder:
        run = read_observed(write(Path(folder), plan, truth_of(plan)))
    return causes(run, fleet(run))


def parts(plan: Plan) -> dict[str, float | None]:
    return {each.name: each.mean for each in found(plan)}


def scraped(t_s: float, every_s: int = 1) -> float:
    """The last scrape until then, of those that every `every_s` seconds have."""
    return FIRST_SCRAPE_S + every_s * math.floor((t_s - FIRST_SCRAPE_S) / every_s + 1e-9)


def counted(plan: Plan, replica: Replica, end_s: float) -> tuple[float, float, float, float]:
    """Waits and services of a replica in the rate window, then those of the other model, seconds."""
    ended = [
        each
        for each in truth_of(plan).requests
        if each.outcome == "ok" and each.pod == replica.name and end_s - RATE_WINDOW_S < each.tokens_s[-1] <= end_s
    ]
    return (
        sum(each.start_s - each.sent_s - NETWORK_S for each in ended),
        sum(float(each.tokens_s[-1]) - each.start_s for each in ended),
        OTHER_QUEUE_S * len(ended),
        OTHER_COMPUTE_S * sum(len(each.tokens_s) for each in ended),
    )


def mean(plan: Plan, replicas: list[Replica], end_s: float, rule: str = "own", floor: float = 0.0) -> float:
    """The mean over replicas of what a rule gives."""

    def divided(queue_s: float, compute_s: float) -> float:
        return queue_s / max(compute_s, floor * RATE_WINDOW_S) if compute_s else 0.0

    values = []
    for replica in replicas:
        queue_s, compute_s, other_queue_s, other_compute_s = counted(plan, replica, end_s)
        if rule == "sums":
            values.append(divided(queue_s + other_queue_s, compute_s + other_compute_s))
        else:
            others = divided(other_queue_s, other_compute_s) if rule == "ratios" else 0.0
            values.append(divided(queue_s, compute_s) + others)
    return fmean(values)


def serving(plan: Plan, t_s: float) -> list[Replica]:
    return [each for each in truth_of(plan).replicas if each.ready_s <= t_s < each.draining_s]


def sampled(plan: Plan, t_s: float) -> list[Replica]:
    """The replicas with a sample: its second scrape, and the rule's start, are over."""
    last_s = scraped(t_s, plan.rule_every_s)
    return [
        each
        for each in serving(plan, t_s)
        if last_s >= max(scraped(each.ready_s) + 2.0, each.ready_s + plan.rule_from_s) - 1e-9
    ]


def syncs(plan: Plan) -> list[float]:
    """The syncs with a value, and with completions then and one E2E later."""
    truth = truth_of(plan)
    times = [each.t_s for each in truth.syncs if 0 <= each.t_s <= truth.end_s and each.ratio is not None]
    assert found(plan)[0].syncs == len(times)
    return times


def change(plan: Plan, t_s: float, before: tuple[str, float], after: tuple[str, float]) -> float:
    """By how much another rule changes the mean of the samples that a sync reads."""
    replicas, end_s = sampled(plan, t_s), scraped(t_s, plan.rule_every_s)
    return mean(plan, replicas, end_s, *after) - mean(plan, replicas, end_s, *before)


@pytest.mark.parametrize("plan", [RATIOS, SUMS, BOTH], ids=lambda plan: plan.name)
def test_the_part_of_other_models_is_theirs(plan):
    """A rule without a filter for the model adds the ratio of another one, or dilutes the ratio with its compute."""
    expected = fmean(change(plan, t, ("own", 0.0), (plan.rule, 0.0)) for t in syncs(plan))
    assert abs(expected) > 0.1
    assert parts(plan)["sum over models"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("plan", [FLOOR, BOTH], ids=lambda plan: plan.name)
def test_a_floor_in_the_divisor_makes_the_ratio_too_low(plan):
    """Until a replica has as much to compute as the floor, the rule divides by the floor."""
    expected = fmean(change(plan, t, (plan.rule, 0.0), (plan.rule, plan.rule_floor)) for t in syncs(plan))
    assert expected < -0.05
    assert parts(plan)["floor in divisor"] == pytest.approx(expected, rel=1e-3)


def test_replicas_without_a_sample_are_missing_in_the_mean():
    """For 25 s a new replica, with less work than the others, does not count: the mean is too high."""
    expected = fmean(
        mean(LATE_SERIES, sampled(LATE_SERIES, t), scraped(t)) - mean(LATE_SERIES, serving(LATE_SERIES, t), scraped(t))
        for t in syncs(LATE_SERIES)
    )
    assert expected > 0.5
    assert parts(LATE_SERIES)["missing series"] == pytest.approx(expected, rel=1e-3)


def test_old_samples_have_the_ratio_of_their_time():
    """The rule is evaluated every 4 s."""
    expected = fmean(
        mean(SELDOM, sampled(SELDOM, t), scraped(t, 4)) - mean(SELDOM, sampled(SELDOM, t), scraped(t))
        for t in syncs(SELDOM)
    )
    assert abs(expected) > 0.1
    assert parts(SELDOM)["stale values"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("plan", "cause"),
    [
        (RATIOS, "sum over models"),
        (FLOOR, "floor in divisor"),
        (LATE_SERIES, "missing series"),
        (SELDOM, "stale values"),
    ],
    ids=lambda each: each.name if isinstance(each, Plan) else "",
)
def test_what_is_attributed_to_one_cause_is_not_to_another(plan, cause):
    """Only the balance over the replicas, and new replicas at their second scrape, have parts besides."""
    made = parts(plan)
    known = {"completion delay", "mean of ratios", "missing series", cause}
    assert {name for name, value in made.items() if value and abs(value) > 0.001} <= known
    assert -0.001 <= made["not attributed"] <= 1e-5


def test_another_model_beside_that_the_rule_leaves_out_has_no_part():
    """Its counters are known, and they do not explain anything."""
    made = parts(OTHER_ONLY)
    assert (made["sum over models"], made["floor in divisor"]) == (pytest.approx(0.0, abs=1e-9), 0.0)
    assert parts(LATE_SERIES)["sum over models"] is None
