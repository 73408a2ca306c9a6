"""Proposals of each metric type with the controller's messages; several metrics; failed metrics."""

import pytest

from loadgen.autoscale.proposals import Sync, propose, propose_all
from loadgen.autoscale.replicas import Tolerances
from loadgen.autoscale.spec import DEFAULT_CONTROLLER, LabelSelector, ObjectMetric, Target
from loadgen.autoscale.state import (
    Container,
    ExternalValues,
    ObjectValue,
    ReadError,
    ResourceSample,
    ResourceSamples,
    ScaleState,
)
from support.hpa.builders import (
    NOW_S,
    external_metric,
    object_metric,
    pods,
    pods_metric,
    resource_metric,
    values,
)

SELECTOR = LabelSelector(match_labels={"m": "x"})
SELECTOR_TEXT = "&LabelSelector{MatchLabels:map[string]string{m: x,},MatchExpressions:[]LabelSelectorRequirement{},}"
DOWN = ReadError(message="the server is down")


def sync(replicas=2, exist=None, pods_=None):
    return Sync(
        namespace="ns",
        now_s=NOW_S,
        scale=ScaleState(spec_replicas=replicas, status_replicas=replicas if exist is None else exist),
        pods=pods(replicas) if pods_ is None else pods_,
        tolerances=Tolerances(down_ratio=0.1, up_ratio=0.1),
        controller=DEFAULT_CONTROLLER,
    )


def samples(*milli):
    return ResourceSamples(
        by_pod={
            f"p{number}": ResourceSample(value_milli=value, at_s=NOW_S, window_s=30)
            for number, value in enumerate(milli)
        }
    )


def old_pods(count):
    """Pods past every CPU rule, with one core and one byte requested."""
    container = Container(name="server", requests_milli={"cpu": 1000, "memory": 1000})
    return pods(count, start_s=0.0, ready_since_s=60.0, containers=(container,))


@pytest.mark.parametrize(
    ("metric", "reading", "name", "replicas"),
    [
        (pods_metric(1000), values(2000, 2000), "pods metric load", 4),
        (object_metric(value_milli=1000), ObjectValue(milli=2000), "Service metric queue", 4),
        # 4 / (1 · 2) = 2: ceil(4 / 1). The name is upstream's, although it is an Object metric
        (object_metric(average_milli=1000), ObjectValue(milli=4000), "external metric queue(nil)", 4),
        (
            object_metric(average_milli=1000, selector=SELECTOR),
            ObjectValue(milli=4000),
            f"external metric queue({SELECTOR_TEXT})",
            4,
        ),
        (external_metric(value_milli=1000), ExternalValues(milli=(500, 1500)), "external metric backlog(nil)", 4),
        (
            external_metric(average_milli=1000, selector=SELECTOR),
            ExternalValues(milli=(4000,)),
            f"external metric backlog({SELECTOR_TEXT})",
            4,
        ),
        # 800 / 1000 = 80 %: 80 / 40 = 2
        (resource_metric(40), samples(800, 800), "cpu resource utilization (percentage of request)", 4),
        (resource_metric(average_milli=400), samples(800, 800), "cpu resource", 4),
        (resource_metric(average_milli=400, resource="memory"), samples(800, 800), "memory resource", 4),
        (
            resource_metric(40, container="server"),
            samples(800, 800),
            "cpu container resource utilization (percentage of request)",
            4,
        ),
        (resource_metric(average_milli=400, container="server"), samples(800, 800), "cpu resource", 4),
    ],
)
def test_each_metric_type_has_its_name_in_reasons(metric, reading, name, replicas):
    """For ratio 2 on two pods, the name of the metric is that of the controller."""
    proposal = propose(metric, reading, sync(pods_=old_pods(2)))
    assert (proposal.metric, proposal.replicas, proposal.fault) == (name, replicas, None)


@pytest.mark.parametrize(
    ("metric", "reason", "message", "error"),
    [
        (
            pods_metric(),
            "FailedGetPodsMetric",
            "unable to get metric load: unable to fetch metrics from custom metrics API: the server is down",
            "failed to get pods metric value: {}",
        ),
        (
            object_metric(value_milli=1),
            "FailedGetObjectMetric",
            "unable to get metric queue on Service ns/triton: unable to fetch metrics from custom metrics API: "
            "the server is down",
            "failed to get object metric value: {}",
        ),
        (
            object_metric(average_milli=1),
            "FailedGetObjectMetric",
            "unable to get metric queue on Service ns/triton: unable to fetch metrics from custom metrics API: "
            "the server is down",
            "failed to get object metric value: failed to get queue object metric: {}",
        ),
        (
            external_metric(value_milli=1, selector=SELECTOR),
            "FailedGetExternalMetric",
            f"unable to get external metric ns/backlog/{SELECTOR_TEXT}: "
            "unable to fetch metrics from external metrics API: the server is down",
            "failed to get backlog external metric value: failed to get external metric backlog: {}",
        ),
        (
            external_metric(average_milli=1),
            "FailedGetExternalMetric",
            "unable to get external metric ns/backlog/nil: "
            "unable to fetch metrics from external metrics API: the server is down",
            "failed to get backlog external metric value: failed to get backlog external metric: {}",
        ),
        (
            resource_metric(50),
            "FailedGetResourceMetric",
            "failed to get cpu utilization: unable to get metrics for resource cpu: "
            "unable to fetch metrics from resource metrics API: the server is down",
            "failed to get cpu resource metric value: {}",
        ),
        (
            resource_metric(average_milli=50),
            "FailedGetResourceMetric",
            "failed to get cpu usage: unable to get metrics for resource cpu: "
            "unable to fetch metrics from resource metrics API: the server is down",
            "failed to get cpu resource metric value: {}",
        ),
        (
            resource_metric(50, container="server"),
            "FailedGetContainerResourceMetric",
            "failed to get cpu utilization: unable to get metrics for resource cpu: "
            "unable to fetch metrics from resource metrics API: the server is down",
            "failed to get server container metric value: {}",
        ),
    ],
)
def test_a_failed_read_has_two_messages(metric, reason, message, error):
    """One message is for the metric's event and condition, a longer one for FailedComputeMetricsReplicas."""
    fault = propose(metric, DOWN, sync()).fault
    assert fault is not None
    assert (fault.reason, fault.message, fault.error) == (reason, message, error.format(message))


@pytest.mark.parametrize(
    ("metric", "reading", "text"),
    [
        (pods_metric(), values(), "unable to get metric load: no metrics returned from custom metrics API"),
        (
            external_metric(value_milli=1),
            ExternalValues(milli=()),
            "unable to get external metric ns/backlog/nil: no metrics returned from external metrics API",
        ),
        (
            resource_metric(50),
            samples(),
            "failed to get cpu utilization: unable to get metrics for resource cpu: "
            "no metrics returned from resource metrics API",
        ),
    ],
)
def test_an_empty_response_is_an_error(metric, reading, text):
    """The metrics client returns an error before pods are read."""
    fault = propose(metric, reading, sync()).fault
    assert fault is not None
    assert fault.message == text


def test_a_pod_without_a_value_of_all_containers_is_missing():
    """800, none: up from ratio 8 with the missing pod at 0: 800 / 2 / 100 = 4 · 2."""
    proposal = propose(resource_metric(average_milli=100), samples(800, None), sync(pods_=old_pods(2)))
    assert proposal.replicas == 8
    assert proposal.pods is not None
    assert proposal.pods.missing == ("p1",)


def test_entries_without_containers_are_not_an_empty_response():
    """Pods are read for entries without a value, and the error is a different one."""
    fault = propose(resource_metric(average_milli=100), samples(None), sync()).fault
    assert fault is not None
    assert fault.message == "failed to get cpu usage: did not receive metrics for targeted pods (pods might be unready)"


def test_memory_does_not_wait_for_readiness():
    """The start-up rules are for CPU: a pod just started is unready for CPU, ready for memory."""
    young = pods(1, start_s=NOW_S - 5, ready="False", ready_since_s=NOW_S - 5)
    cpu = propose(resource_metric(average_milli=400), samples(800), sync(1, pods_=young))
    memory = propose(resource_metric(average_milli=400, resource="memory"), samples(800), sync(1, pods_=young))
    assert cpu.fault is not None
    assert memory.replicas == 2


def test_no_pods_is_an_error_for_pods_metrics():
    """An HPA with only Pods metrics can therefore never scale up from zero."""
    fault = propose(pods_metric(), values(2000), sync(pods_=())).fault
    assert fault is not None
    assert fault.message == "no pods returned by selector while calculating replica count"


def test_an_object_target_of_another_type_fails_every_sync():
    """The API server accepts `type: Value` with an averageValue; only External metrics use it."""
    target = Target(type="Value", average_value_milli=1000)
    metric = ObjectMetric(name="queue", target=target, kind="Service", object_name="triton")
    fault = propose(metric, ObjectValue(milli=1), sync()).fault
    assert fault is not None
    assert fault.message == "invalid object metric source: neither a value target nor an average value target was set"
    assert fault.error == f"failed to get object metric value: {fault.message}"


def test_only_external_caps_values_out_of_range():
    """2^62 milli with a target of 1 milli is the highest int32 for External, and the lowest for Object."""
    object_ = propose(object_metric(average_milli=1), ObjectValue(milli=2**62), sync())
    external = propose(external_metric(average_milli=1), ExternalValues(milli=(2**62,)), sync())
    assert (object_.replicas, external.replicas) == (-(2**31), 2**31 - 1)


def test_a_reading_of_another_type_is_an_error_of_the_caller():
    """The error differs from that of a metric that cannot be read."""
    with pytest.raises(TypeError, match="a PodsMetric is read as PodValues, not as ObjectValue"):
        propose(pods_metric(), ObjectValue(milli=1), sync())


def test_a_reading_is_missing():
    """Readings match metrics by position, so their numbers must be equal."""
    with pytest.raises(ValueError, match="zip"):
        propose_all([pods_metric(), pods_metric()], [values(1)], sync())


class TestSeveral:
    LOW, MIDDLE, HIGH = values(100, 100), values(1000, 1000), values(3000, 3000)  # 1, 2 and 6 replicas

    def propose(self, *readings, replicas=2):
        metrics = [pods_metric(name=f"m{number}") for number in range(len(readings))]
        return propose_all(metrics, readings, sync(replicas))

    @pytest.mark.parametrize(
        ("readings", "replicas", "metric"),
        [
            ((LOW, HIGH, MIDDLE), 6, "pods metric m1"),
            ((LOW, MIDDLE), 2, "pods metric m1"),
            ((HIGH, HIGH), 6, "pods metric m0"),  # the first of equals
            ((values(0, 0), values(0, 0)), 0, "pods metric m1"),  # but zero gives way to a later zero
            ((values(0, 0), values(-9000, -9000)), -18, "pods metric m1"),  # and even to less
        ],
    )
    def test_the_largest_proposal_wins(self, readings, replicas, metric):
        """Two pods, target 1."""
        result = self.propose(*readings)
        assert (result.replicas, result.metric, result.error) == (replicas, metric, None)

    @pytest.mark.parametrize(
        ("readings", "replicas"),
        [
            ((DOWN,), None),
            ((DOWN, LOW), None),  # it might need the replicas that LOW would remove
            ((DOWN, MIDDLE), 2),
            ((HIGH, DOWN), 6),
            ((DOWN, DOWN), None),
        ],
    )
    def test_a_failed_metric_stops_only_a_scale_down(self, readings, replicas):
        """`computeReplicasForMetrics`: a scale-up uses the metrics that could be read."""
        result = self.propose(*readings)
        assert result.replicas == replicas
        assert result.error is not None

    def test_the_error_counts_and_quotes_the_first(self):
        """The message is that of the event FailedComputeMetricsReplicas."""
        result = self.propose(self.HIGH, ReadError(message="one"), ReadError(message="two"))
        assert [proposal.replicas for proposal in result.proposals] == [6, None, None]
        assert result.error == (
            "invalid metrics (2 invalid out of 3), first error is: failed to get pods metric value: "
            "unable to get metric m1: unable to fetch metrics from custom metrics API: one"
        )

    def test_at_zero_a_failed_metric_does_not_stop_the_others(self):
        """At zero replicas no metric can scale down, so the External metric decides."""
        metrics = [pods_metric(), external_metric(value_milli=1000)]
        result = propose_all(metrics, [DOWN, ExternalValues(milli=(2500,))], sync(0))
        assert (result.replicas, result.metric) == (3, "external metric backlog(nil)")
