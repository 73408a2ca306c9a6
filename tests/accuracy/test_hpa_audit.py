"""The audit of simulated runs, whose autoscaler is a few lines of its own (`support.runs.synthetic.simulation`)."""

import pytest

from loadgen.analyze.results import Rule
from support.runs.synthetic import PLANS, sample, simulate


def passes(name):
    """Return the spans of the audit with the passes of the simulation that they cover."""
    audit, syncs = sample(name).audit, iter(simulate(PLANS[name]).syncs)
    assert (audit.syncs, audit.mismatches) == (len(simulate(PLANS[name]).syncs), ())
    return [(span, [next(syncs) for _ in range(span.syncs)]) for span in audit.spans]


@pytest.mark.parametrize("name", ["failing", "passing", "crash"])
def test_every_pass_is_explained(name):
    """Spans cover all passes in order, with their times and replicas, and no pass differs from the algorithm."""
    for span, covered in passes(name):
        assert (span.from_s, span.to_s) == pytest.approx((covered[0].t_s, covered[-1].t_s))
        assert {(each.before, each.after) for each in covered} == {(span.before, span.after)}


@pytest.mark.parametrize("name", ["failing", "passing"])
def test_the_rules_are_those_of_the_simulation(name):
    """Where a rule is named, it is the one by which the simulation decided."""
    plan = PLANS[name]
    low, high = plan.replicas
    for span, covered in passes(name):
        for each in covered:
            match span.rule:
                case Rule.TOLERANCE:
                    assert each.ratio is not None
                    assert 0.9 * plan.ratio_target <= each.ratio <= 1.1 * plan.ratio_target + 0.001
                case Rule.METRIC_UNAVAILABLE:
                    assert each.ratio is None
                case Rule.DOWN_WINDOW:  # an earlier proposal was higher
                    assert each.proposal < each.after or each.after == low
                case Rule.MAX:
                    assert each.after == high
                case Rule.MIN:
                    assert each.after == low
                case Rule.RATIO:
                    assert each.proposal == each.after


@pytest.mark.parametrize("name", ["failing", "passing"])
def test_decisions_are_those_of_the_simulation(name):
    """As many as there were rescales, each linked to its scaling event."""
    analysis, truth = sample(name), simulate(PLANS[name])
    decided = [(each.sync.from_s, each.sync.before, each.sync.after) for each in analysis.audit.decisions]
    assert decided == [(pytest.approx(each.t_s), each.before, each.after) for each in truth.rescales]
    for decision in analysis.audit.decisions:
        assert decision.event is not None
        assert analysis.scaling[decision.event].after == decision.sync.after
