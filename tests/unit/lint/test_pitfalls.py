"""Every pitfall: setups that have it, and setups that come close and do not."""

import pytest

from loadgen.lint.codes import ALL
from support.lint import scaling_cases as scaling
from support.lint import serving_cases as serving
from support.lint import signal_cases as signal
from support.lint.changes import (
    QUEUE,
    Change,
    adapter,
    both,
    codes,
    found,
    hpa,
    metric_is,
    ratio_is,
    record,
)

HAS = [*signal.HAS, *scaling.HAS, *serving.HAS]
HAS_NOT = {**signal.HAS_NOT, **scaling.HAS_NOT, **serving.HAS_NOT}


@pytest.mark.parametrize(("code", "change"), HAS, ids=[f"{code}-{number}" for number, (code, _) in enumerate(HAS)])
def test_a_setup_with_a_pitfall(code: str, change: Change) -> None:
    """The good setup with one change has this pitfall and no other."""
    assert codes(change) == [code]


def test_the_adapter_adds_up_the_series_of_models() -> None:
    """Where the ratio has a series for each model and the adapter adds them up, both are named."""
    assert codes(signal.SUMMED) == ["adapter.sums_series", "query.per_model"]


def test_every_pitfall_has_a_setup() -> None:
    """No code is without a test."""
    assert {each.code for each in ALL} == {code for code, _ in HAS} | {"adapter.sums_series"}


@pytest.mark.parametrize("change", HAS_NOT.values(), ids=HAS_NOT)
def test_a_setup_that_comes_close(change: Change | None) -> None:
    """None of these has a pitfall."""
    assert codes(change) == []


def test_errors_of_a_rule_that_no_autoscaler_reads_are_warnings() -> None:
    """A rule for a dashboard cannot break the scaling, nor can a rule of the adapter for something else."""
    expr = f"rate({QUEUE}[30s]) / clamp_min(rate(nv_inference_request_success[30s]), 1)"
    assert {each.severity for each in found(record("triton:queue_duration:average", expr))} == {"warning"}
    assert {each.severity for each in found(both(ratio_is(expr), lambda s: s.pop("ConfigMap")))} == {"error"}
    unread = adapter("rules:\n", f"rules:\n  - {{seriesQuery: {QUEUE}, metricsQuery: 'rate({QUEUE}[30s])'}}\n")
    assert {each.severity for each in found(unread)} == {"warning"}


def test_cpu_as_the_only_metric_is_an_error() -> None:
    """Beside another metric it only adds replicas."""
    assert [each.severity for each in found(lambda s: hpa(s).update(metrics=[]))] == ["error"]
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    assert [each.severity for each in found(metric_is(1, cpu))] == ["warning"]


def test_kinds_that_could_not_be_read() -> None:
    """Kinds that could not be read say nothing."""
    assert codes(lambda s: s.pop("PodDisruptionBudget"), unread={"PodDisruptionBudget": "forbidden"}) == []
    assert codes(lambda s: s.pop("IngressRoute"), unread={"IngressRoute": "forbidden"}) == []


def test_evidence() -> None:
    """A pitfall names object, file, field and value."""
    (pitfall,) = found(HAS[-1][1])
    assert (pitfall.kind, pitfall.namespace, pitfall.name) == ("Service", "serving", "llm")
    assert (pitfall.source, pitfall.field, pitfall.value) == ("setup.yaml", "spec.sessionAffinity", "ClientIP")
    assert pitfall.as_json()["fix"] == "Set `sessionAffinity: None`."
