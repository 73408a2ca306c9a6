"""The form of the autoscaler's rule is found from its inputs and its results, and only where it explains them."""

import numpy as np
import pytest

from loadgen.analyze.signal.rule import PLAIN, Inputs, Rule, find_rule

COUNT = 200


def inputs(*, others: bool = True) -> Inputs:
    """Windows of 10 s with 1 to 40 s of compute, a tenth of them without, and another model."""
    random = np.random.default_rng(1)
    compute = np.exp(random.uniform(np.log(1.0), np.log(40.0), COUNT)) * (random.random(COUNT) > 0.1)
    return Inputs(
        queue_s=np.where(compute > 0, random.uniform(0.0, 30.0, COUNT), 0.0),
        compute_s=compute,
        other_queue_s=random.uniform(0.0, 3.0, COUNT) if others else None,
        other_compute_s=random.uniform(0.5, 5.0, COUNT) if others else None,
        window_s=10.0,
    )


@pytest.mark.parametrize("models", ["own", "ratios", "sums"])
@pytest.mark.parametrize("floor", [0.0, 0.5, 2.0])
def test_every_form_is_found(models, floor):
    """With exact samples."""
    found = find_rule(Rule(models=models, floor=floor).of(inputs()), inputs())
    assert found.models == models
    assert found.floor == pytest.approx(floor, rel=1e-3)


@pytest.mark.parametrize(
    "rule",
    [PLAIN, Rule(models="ratios"), Rule(models="sums"), Rule(floor=2.0)],
    ids=["plain", "ratios", "sums", "floor"],
)
def test_samples_that_deviate_a_little_do_not_hide_the_form(rule):
    """By up to 5 %, as scrapes of Prometheus and of the run are not at the same time; the floor is right to that."""
    noise = 1 + np.random.default_rng(2).uniform(-0.05, 0.05, COUNT)
    found = find_rule(rule.of(inputs()) * noise, inputs())
    assert found.models == rule.models
    assert found.floor == pytest.approx(rule.floor, rel=0.05)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(PLAIN.of(inputs()) * 0.5, id="half of it"),
        pytest.param(PLAIN.of(inputs()) * 0.0, id="always 0"),
        pytest.param(PLAIN.of(inputs()) * 1000, id="another unit"),
        pytest.param(np.random.default_rng(3).permutation(PLAIN.of(inputs())), id="another replica"),
        pytest.param(np.full(COUNT, np.nan), id="undefined"),
        pytest.param(np.where(np.arange(COUNT) < 4, 0.0, PLAIN.of(inputs())), id="right but for four samples"),
        pytest.param(np.where(np.arange(COUNT) < 9, Rule(floor=20.0).of(inputs()), np.nan), id="nine samples"),
    ],
)
def test_what_no_form_explains_has_none(read):
    """A factor, a unit or the labels of something else are not named, as the folder does not show which it is."""
    assert find_rule(read, inputs()) == PLAIN


def test_without_counters_of_other_models_only_a_floor_is_found():
    """The sum of ratios of two models is not taken for a floor."""
    assert find_rule(Rule(models="ratios").of(inputs()), inputs(others=False)) == PLAIN
    assert find_rule(Rule(floor=0.5).of(inputs(others=False)), inputs(others=False)).floor == pytest.approx(
        0.5, rel=1e-3
    )
