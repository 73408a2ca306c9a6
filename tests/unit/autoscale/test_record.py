"""The inputs of a sync as JSON, and back."""

import json

import pytest

from loadgen.autoscale.record import Inputs, inputs_data, parse_inputs
from loadgen.autoscale.state import (
    Container,
    ExternalValues,
    ObjectValue,
    PodState,
    PodValues,
    ReadError,
    ResourceSample,
    ResourceSamples,
    ScaleState,
)

INPUTS = Inputs(
    scale=ScaleState(spec_replicas=3, status_replicas=2),
    pods=(
        PodState(name="a"),
        PodState(name="b", phase="Pending", ready=None, deleting=True),
        PodState(name="c", start_s=1.5, containers=(Container(name="server", requests_milli={"cpu": 500}),)),
    ),
    readings=(
        PodValues(milli={"a": 161, "c": -2}),
        ObjectValue(milli=2**62),
        ExternalValues(milli=(1, 2)),
        ReadError(message="no answer"),
        ResourceSamples(by_pod={"a": ResourceSample(value_milli=None, at_s=1.0, window_s=30.0)}),
    ),
)


def test_recorded_inputs_are_the_same():
    """Every kind of reading survives JSON."""
    assert parse_inputs(json.loads(json.dumps(inputs_data(INPUTS)))) == INPUTS


def test_usual_values_are_left_out():
    """A running and ready pod is its name."""
    assert inputs_data(INPUTS)["pods"][0] == {"name": "a"}


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        {},
        [],
        "x",
        {"scale": 1},
        {**inputs_data(INPUTS), "pods": [{"name": 1}]},
        {**inputs_data(INPUTS), "readings": [7]},
    ],
)
def test_damaged_inputs_are_missing(damaged):
    """Data of another version or damaged data is no reason to fail."""
    assert parse_inputs(damaged) is None
