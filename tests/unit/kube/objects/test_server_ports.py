"""The server's container among others, its ports, and the Services that lead to them."""

from typing import Any

import pytest

from loadgen.kube.objects.server_ports import server_ports
from loadgen.kube.objects.workload import leads_to_server, port_of, workload_of
from support.kube.workloads import deployment, service

TRITON_PORTS = (
    {"name": "http", "containerPort": 8000},
    {"name": "grpc", "containerPort": 8001},
    {"name": "http-metrics", "containerPort": 8002},
)
ISTIO = {
    "name": "istio-proxy",
    "image": "istio/proxyv2",
    "ports": [{"name": "http-envoy-prom", "containerPort": 15090}],
}
LOGIN = {"name": "login", "image": "oauth2-proxy", "ports": [{"name": "http", "containerPort": 4180}]}


def ports(*containers: dict[str, Any]) -> tuple[int, int, int]:
    found = server_ports({"containers": list(containers)})
    return found.http, found.grpc, found.metrics


def server(**fields: Any) -> dict[str, Any]:
    return {"name": "server", "image": "registry.example/llm:1", **fields}


HEALTH = {"path": "/v2/health/ready", "port": 9000}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (server(ports=TRITON_PORTS), (8000, 8001, 8002)),
        (server(image="nvcr.io/nvidia/tritonserver:26.07-py3"), (8000, 8001, 8002)),
        (
            server(
                ports=(
                    {"name": "http-metrics", "containerPort": 9002},
                    {"name": "http-inference", "containerPort": 9000},
                    {"name": "grpc-inference", "containerPort": 9001},
                )
            ),
            (9000, 9001, 9002),
        ),
        (server(args=["--http-port=9000", "--grpc-port", "9001", "--metrics-port=9002"]), (9000, 9001, 9002)),
        (server(command=["sh", "-c", "exec tritonserver --http-port 9000 --grpc-port=9001"]), (9000, 9001, 8002)),
        (server(ports=TRITON_PORTS, readinessProbe={"httpGet": HEALTH}), (9000, 8001, 8002)),
        (
            server(
                ports=({"name": "web", "containerPort": 9000}, {"name": "rpc", "containerPort": 9001}),
                startupProbe={"httpGet": {"path": "/v2/health/live", "port": "web"}},
                livenessProbe={"grpc": {"port": 9001}},
            ),
            (9000, 9001, 8002),
        ),
        # a probe of something else says nothing
        (
            server(ports=TRITON_PORTS, readinessProbe={"httpGet": {"path": "/healthz", "port": 15021}}),
            (8000, 8001, 8002),
        ),
        (server(ports=({"name": "http", "containerPort": 9000, "protocol": "UDP"}, *TRITON_PORTS)), (8000, 8001, 8002)),
    ],
)
def test_ports_of_the_server_whatever_stands_beside_it(
    container: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    """By flags of the server, its probes, its numbers and names; sidecars come first or last."""
    for containers in ((container,), (ISTIO, container), (LOGIN, ISTIO, container), (container, LOGIN)):
        assert ports(*containers) == expected


def test_a_pod_without_any_hint_has_tritons_default_ports() -> None:
    """The first container counts where all look alike."""
    assert ports({"name": "a"}, {"name": "b"}) == (8000, 8001, 8002)


@pytest.mark.parametrize("name", ["http-metrics", "metrics-http", "http-prometheus", "http-prom", "grpc-metrics"])
@pytest.mark.parametrize("target", ["http-metrics", 8002, "elsewhere"])
def test_a_port_for_metrics_is_not_one_of_requests(name: str, target: int | str) -> None:
    """Whatever its name begins with, and whatever its target port is called."""
    workload = workload_of(deployment("t", ports=TRITON_PORTS))
    for port in ({"name": name, "port": 8002, "targetPort": target}, {"name": name, "port": 80, "targetPort": target}):
        metrics = service("s", {}, port)
        assert (port_of(metrics, "http", workload), port_of(metrics, "grpc", workload)) == (None, None)


@pytest.mark.parametrize(
    ("port", "http", "grpc"),
    [
        ({"name": "web", "port": 80, "targetPort": "http"}, 80, None),
        ({"name": "http-web", "port": 80, "targetPort": "grpc"}, None, 80),  # the target counts, not the name
        ({"name": "x", "port": 80, "targetPort": "elsewhere", "appProtocol": "grpc"}, None, 80),
        ({"name": "http", "port": 80, "targetPort": "elsewhere", "appProtocol": "kubernetes.io/h2c"}, None, 80),
        ({"name": "http", "port": 80, "targetPort": 4180}, 80, None),  # through the login proxy
        ({"name": "http", "port": 80, "targetPort": 8000, "protocol": "UDP"}, None, None),
    ],
)
def test_a_port_of_a_service_is_known_by_its_target_then_its_protocol(
    port: dict[str, Any], http: int | None, grpc: int | None
) -> None:
    """A name that a container declares is its number."""
    workload = workload_of(deployment("t", ports=TRITON_PORTS))
    found = service("s", {}, port)
    assert (port_of(found, "http", workload), port_of(found, "grpc", workload)) == (http, grpc)


def test_a_service_that_leads_to_the_server_is_preferred_to_one_that_only_has_the_name() -> None:
    """So a Service of a sidecar's port is no second candidate."""
    workload = workload_of(deployment("t", ports=TRITON_PORTS))
    assert leads_to_server(service("s", {}, {"name": "x", "port": 80, "targetPort": 8000}), workload)
    assert not leads_to_server(service("s", {}, {"name": "http-admin", "port": 9090, "targetPort": 9090}), workload)
