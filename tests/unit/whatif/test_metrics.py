"""Metric sets: what each metric of an HPA measures, and that the largest proposal wins."""

import numpy as np
import pytest

from loadgen.autoscale.spec import ExternalMetric, HpaSpec, MetricSpec, PodsMetric, ResourceMetric, Target
from loadgen.autoscale.state import ExternalValues, ReadError
from loadgen.base.errors import SettingsError
from loadgen.dataset.run_info import Autoscaler
from loadgen.whatif.metrics import NAMES, Metrics, readings, signals_of, with_target
from loadgen.whatif.model import Load, MetricPath, Replicas
from loadgen.whatif.replica import Replica, Starts, Values
from loadgen.whatif.simulation import simulate
from loadgen.whatif.text import hpa_manifest

SCALER = Autoscaler(
    metric="my:ratio",
    target=0.5,
    min_replicas=1,
    max_replicas=4,
    sync_period_s=15.0,
    rate_window_s=10.0,
    scrape_interval_s=1.0,
    scale_down_window_s=60.0,
)


CPU = ResourceMetric(resource="cpu", target=Target(type="Utilization", average_utilization_pct=60))


def pods(name: str, milli: int) -> PodsMetric:
    return PodsMetric(name=name, target=Target(type="AverageValue", average_value_milli=milli))


def external(**target: int) -> ExternalMetric:
    kind = "Value" if "value_milli" in target else "AverageValue"
    return ExternalMetric(name="s0-prometheus", target=Target(type=kind, **target))  # type: ignore[arg-type]


def hpa(*metrics: MetricSpec) -> HpaSpec:
    return HpaSpec(min_replicas=1, max_replicas=4, metrics=metrics)


def replica(number: int = 0, *, window_s: float = 10.0, rule_after_s: float = 0.0) -> Replica:
    """Two slots, both taken for 4 s of the first 5, and one request that waits."""
    path = MetricPath(scrape_s=1.0, window_s=window_s, rule_after_s=rule_after_s, sync_s=15.0)
    made = Replica(number, Replicas(slots=2), path, Starts(3), created_s=0.0, running_s=0.0, ready_s=0.0)
    made.scrape([0.0])
    made.take((request, 0.0, work_s) for request, work_s in enumerate((4.0, 4.0, 9.0)))
    return made


def test_the_values_of_a_replica() -> None:
    """8 s of compute in 5 s of two slots; the third request waits until 4 s, and counts once it has ended, at 13 s."""
    each = replica()
    assert each.values(0.0) is None
    each.scrape([3.0])
    assert each.values(3.0) == Values(ratio=0.0, busy=0.0, waiting=1.0)
    each.scrape([5.0])
    assert each.values(5.0) == Values(ratio=0.0, busy=pytest.approx(0.8), waiting=0.0)
    each.scrape([9.0, 13.0])
    values = each.values(13.0)
    assert values is not None
    assert values.ratio == pytest.approx(4.0 / 9.0)


def test_a_request_that_arrives_after_a_scrape_does_not_wait_at_it() -> None:
    """Both slots are taken; one request waits at 3 s, and another one from 3.5 s on."""
    each = replica()
    each.take([(2, 3.5, 1.0)])
    each.scrape([3.0, 3.9])
    before, after = each.values(3.0), each.values(3.9)
    assert before is not None
    assert after is not None
    assert (before.waiting, after.waiting) == (1.0, 2.0)


def test_a_sample_counts_from_the_next_evaluation_of_the_rules() -> None:
    """0.7 s after each scrape: until then, and at the next scrape, there is the value before."""
    each = replica(rule_after_s=0.7)
    each.scrape([3.0])
    assert each.values(3.6) is None
    assert each.values(3.7) is not None
    each.scrape([5.0])
    before, after = each.values(5.6), each.values(5.7)
    assert before is not None
    assert after is not None
    assert (before.busy, after.busy) == (0.0, pytest.approx(0.8))


def test_metrics_are_known_by_their_names() -> None:
    """The ratio by the name that the run recorded, the others by those of the charts."""
    three = hpa(pods("my:ratio", 500), pods(NAMES["busy"], 800), pods(NAMES["waiting"], 4000))
    assumptions: list[str] = []
    assert signals_of(three, SCALER, assumptions).signals == ("ratio", "busy", "waiting")
    assert assumptions == []


@pytest.mark.parametrize(("target", "word"), [("value_milli", "mean"), ("average_value_milli", "sum")])
def test_the_metric_of_keda(target: str, word: str) -> None:
    """It is taken for the ratio: the mean over the replicas, or their sum, which the HPA divides by their number."""
    assumptions: list[str] = []
    spec = hpa(external(**{target: 500}))
    metrics = signals_of(spec, SCALER, assumptions)
    assert metrics.signals == ("ratio",)
    assert f"the {word} of the ratio" in assumptions[0]
    replicas = [replica(number, window_s=20.0) for number in (0, 1)]
    (empty,) = readings(spec, metrics, replicas, 20.0)
    assert isinstance(empty, ReadError)
    for each in replicas:
        each.scrape([13.0])
    (reading,) = readings(spec, metrics, replicas, 20.0)
    # of 13 s: two services of 4 s that did not wait, and one of 9 s that waited for 4 s
    ratio = 4.0 / 17.0 * (2 if word == "sum" else 1)
    assert isinstance(reading, ExternalValues)
    assert reading.milli[0] == pytest.approx(1000 * ratio, abs=1)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (
            (ResourceMetric(resource="cpu", target=Target(type="Utilization", average_utilization_pct=60)),),
            "metric cpu",
        ),
        ((pods("my:ratio", 500), external(value_milli=1)), "External metric s0-prometheus.*one of 2"),
        ((pods("triton:ttft:seconds", 500),), "metric triton:ttft:seconds, which cannot be simulated"),
    ],
)
def test_a_metric_that_cannot_be_simulated_is_one_sentence(metrics: tuple[MetricSpec, ...], message: str) -> None:
    """It names the metric, why, and those that can."""
    with pytest.raises(SettingsError, match=message):
        signals_of(hpa(*metrics), SCALER, [])


def test_targets_are_added_changed_and_removed() -> None:
    """The manifest has them in the same order, and keeps the selectors of the metrics that were there."""
    metrics = Metrics()
    two, both = with_target(hpa(pods("my:ratio", 500)), metrics, "busy", 700)
    assert both.signals == ("ratio", "busy")
    changed, _ = with_target(two, both, "busy", 900)
    assert changed.metrics[1].target.average_value_milli == 900
    one, left = with_target(two, both, "ratio", None)
    assert (left.signals, one.metrics) == (("busy",), (pods(NAMES["busy"], 700),))
    applied = {
        "spec": {
            "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "my:ratio", "selector": {"matchLabels": {"a": "b"}}}}}
            ]
        }
    }
    written = hpa_manifest(two, applied=applied, name="triton")["spec"]["metrics"]
    assert written[0]["pods"]["metric"]["selector"] == {"matchLabels": {"a": "b"}}
    assert written[1] == {
        "type": "Pods",
        "pods": {"metric": {"name": NAMES["busy"]}, "target": {"type": "AverageValue", "averageValue": "700m"}},
    }
    keda = hpa_manifest(hpa(external(value_milli=500)), applied=None, name="triton")["spec"]["metrics"][0]
    assert keda["external"]["target"] == {"type": "Value", "value": "500m"}


def test_the_largest_proposal_wins() -> None:
    """Without any wait the ratio is 0 and proposes one replica, which would be 90 % busy.

    Two are 45 % busy: for a target of 60 % that is 1.5 replicas, so the second one stays.
    """
    count = 1200
    load = Load(
        arrival_s=np.arange(count) * 0.5,
        service_s=np.full(count, 0.9),
        first_token_s=np.full(count, 0.1),
    )
    path = MetricPath(scrape_s=1.0, window_s=30.0, sync_s=15.0)
    ratio = hpa(pods("my:ratio", 500))
    both, metrics = with_target(ratio, Metrics(), "busy", 600)
    ends = []
    for spec, each in ((ratio, Metrics()), (both, metrics)):
        simulated = simulate(load, Replicas(slots=2), path, spec, initial=2, begin_s=0.0, end_s=600.0, metrics=each)
        ends.append(simulated.syncs[-1].after)
    assert ends == [1, 2]
