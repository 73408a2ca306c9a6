"""The metrics API of a cluster, which metrics-server serves, with a played cluster API and the real relay."""

from typing import Any

import pytest
import requests

from loadgen.kube.discover.metrics_api import MetricsUrls
from loadgen.kube.discover.result import Discovered
from support.servers.kubernetes_api import Server

GROUP = "/apis/metrics.k8s.io"
LISTS = {"nodes": f"{GROUP}/v1beta1/nodes", "pods": f"{GROUP}/v1beta1/namespaces/llm/pods"}


@pytest.fixture
def metrics_server(played: Server) -> Server:
    played.pages[GROUP] = {"preferredVersion": {"groupVersion": "metrics.k8s.io/v1beta1"}}
    played.pages |= {path: {"items": [{"metadata": {"name": kind}}]} for kind, path in LISTS.items()}
    return played


def test_nodes_and_replicas_are_read_through_the_relay(metrics_server: Server, sources_of: Any) -> None:
    """Only the pods of the workload are asked for."""
    metrics_server.allowed |= {("list", "nodes", "")}
    found = sources_of(None).metrics_api()
    assert found.missing == ()
    for kind, url in (("nodes", found.value.nodes), ("pods", found.value.replicas)):
        assert requests.get(url, timeout=5).json()["items"] == [{"metadata": {"name": kind}}]
    assert "labelSelector=" in metrics_server.requests[-1]


@pytest.mark.usefixtures("no_relay")
def test_a_cluster_without_metrics_server_is_usual(played: Server, sources_of: Any) -> None:
    """It gives no sentence."""
    assert sources_of(None).metrics_api() == Discovered(MetricsUrls())


@pytest.mark.usefixtures("no_relay")
@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [
        (
            {("list", "nodes", ""), ("list", "pods", "")},
            "list on nodes.metrics.k8s.io cluster-wide (the use of CPU and memory of the nodes is not recorded)",
        ),
        (
            {("list", "pods", "")},
            "list on pods.metrics.k8s.io in namespace llm (the share of the replicas in the use of their nodes is not "
            "recorded)",
        ),
    ],
)
def test_a_missing_permission_is_one_sentence(
    metrics_server: Server, sources_of: Any, lacks: set[tuple[str, str, str]], sentence: str
) -> None:
    """What can be read is read: the nodes without their pods."""
    metrics_server.allowed = (metrics_server.allowed | {("list", "nodes", "")}) - lacks
    found = sources_of(None).metrics_api()
    assert found.missing == (f"missing RBAC permissions: {sentence}",)
    assert (found.value.nodes is None, found.value.replicas) == (len(lacks) == 2, None)


@pytest.mark.usefixtures("no_relay")
def test_an_api_that_does_not_answer_is_one_sentence(played: Server, sources_of: Any) -> None:
    """The run goes on without it."""
    played.raw[GROUP] = (503, b'{"message": "the server is currently unable to handle the request"}')
    found = sources_of(None).metrics_api()
    assert found.value == MetricsUrls()
    (sentence,) = found.missing
    assert sentence.endswith("; the use of CPU and memory of the nodes is not recorded")
