"""Changes of the chart's autoscaler on a live release: none, HPA and KEDA, applied by the server and by the client."""

from pathlib import Path

import pytest

from support.charts.transitions import TRANSITIONS, AutoscaledRelease, define_custom_resources
from support.kube.cluster import Cluster, eventually

pytestmark = pytest.mark.timeout(300)

SIZE = 3


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    define_custom_resources(cluster)


@pytest.mark.parametrize("by_server", [True, False], ids=["applied by the server", "applied by the client"])
@pytest.mark.parametrize(("before", "after"), TRANSITIONS)
def test_a_transition_keeps_the_autoscaler_and_the_replicas(
    cluster: Cluster, tmp_path: Path, before: str, after: str, by_server: bool
) -> None:
    """The new autoscaler is the only one that is left, and the size never changes, in two upgrades in a row."""
    release = AutoscaledRelease(cluster, tmp_path, f"{before}-{after}-{'s' if by_server else 'c'}", by_server=by_server)
    release.helm(before, replicas=SIZE if before == "none" else None)
    eventually(lambda: release.autoscalers() == release.expected(before), "the first autoscaler")
    if before != "none":
        release.scale(SIZE)
    with release.watched() as sizes:
        release.helm(after)
        eventually(lambda: release.autoscalers() == release.expected(after), "the new autoscaler alone")
        release.helm(after)
        assert release.autoscalers() == release.expected(after)
    assert set(sizes) == {SIZE}
    # what the new autoscaler has decided stands as well
    assert release.size() == 4
    release.helm(after)
    assert release.size() == 4


def test_a_number_replaces_what_an_autoscaler_decided(cluster: Cluster, tmp_path: Path) -> None:
    """Helm takes the field over with --force-conflicts; the size never drops below the smaller one."""
    release = AutoscaledRelease(cluster, tmp_path, "forced", by_server=True)
    release.helm("hpa")
    release.scale(5)
    release.helm("none", "--force-conflicts", replicas=SIZE)
    assert (release.size(), release.autoscalers()) == (SIZE, [])


@pytest.mark.parametrize("by_server", [True, False], ids=["applied by the server", "applied by the client"])
def test_an_hpa_begins_with_a_workload_that_is_not_at_zero(cluster: Cluster, tmp_path: Path, by_server: bool) -> None:
    """KEDA scaled it to zero, from where an HPA would never scale it."""
    release = AutoscaledRelease(cluster, tmp_path, f"zero-{'s' if by_server else 'c'}", by_server=by_server)
    release.helm("keda", minReplicas=0, activation={"query": "sum(up)"})
    release.scale(0)
    if by_server:  # the number belongs to KEDA: Helm refuses to change it, and the chart says what to do
        with pytest.raises(AssertionError, match=r"is at 0 replicas.*kubectl -n .* scale deployment/.* --replicas=1"):
            release.helm("hpa")
        release.scale(1)
    release.helm("hpa")
    assert release.size() > 0
    eventually(lambda: release.autoscalers() == release.expected("hpa"), "the HPA alone")
    assert release.autoscalers() == release.expected("hpa")


def test_an_hpa_that_keda_owns_under_the_old_name_is_not_taken_over(cluster: Cluster, tmp_path: Path) -> None:
    """An earlier chart gave KEDA's HPA the name of the chart's own: it would vanish with the ScaledObject."""
    release = AutoscaledRelease(cluster, tmp_path, "earlier", by_server=True)
    release.helm("keda")
    hpa = cluster.get("hpa", f"{release.workload}-keda")
    cluster.kubectl("delete", "hpa", f"{release.workload}-keda")
    metadata = {"name": release.workload, "ownerReferences": hpa["metadata"]["ownerReferences"]}
    cluster.create({**hpa, "metadata": metadata})
    with pytest.raises(AssertionError, match=r"belongs to KEDA.*upgrade once with autoscaling.kind=keda"):
        release.helm("hpa")
    assert release.autoscalers() == [release.workload]
