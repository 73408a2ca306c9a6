"""Probes and what follows from them, held against the Kubernetes documentation (Probes, EndpointSlices)."""

from typing import Any

import pytest

from support.kube.cluster import (
    FOREVER,
    PYTHON,
    Cluster,
    Json,
    container,
    ended,
    eventually,
    mount,
    over,
    phase,
    pod,
    ready,
    restarted,
    shell,
    status,
)

pytestmark = pytest.mark.timeout(240)

WORK = [mount("work", "/work")]
SHARED = [{"name": "work", "emptyDir": {}}]

HTTP_SERVER = """
import http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = int(self.path.strip("/")) if self.headers["X-Asks"] == "probe" else 400
        self.send_response(code)
        self.end_headers()
http.server.HTTPServer(("", 8000), Server).serve_forever()
"""

# HealthCheckResponse in the protobuf wire format: SERVING for the service `well`, else NOT_SERVING
GRPC_SERVER = """
import grpc, concurrent.futures
class Health(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(
                lambda asked, _: b"\\x08\\x01" if asked.endswith(b"well") else b"\\x08\\x02"
            )
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Health(),))
server.add_insecure_port("0.0.0.0:8001")
server.start()
server.wait_for_termination()
"""


def runs(*command: str, **fields: Any) -> Json:
    """A probe every second that runs a command."""
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "failureThreshold": 1, **fields}


def has(file: str, **fields: Any) -> Json:
    """A probe every second that succeeds while a file is there."""
    return runs("test", "-e", file, **fields)


def asks(path: str) -> Json:
    """A probe every second by HTTP, of the port by its name."""
    headers = [{"name": "X-Asks", "value": "probe"}]
    return {"httpGet": {"path": path, "port": "web", "httpHeaders": headers}, "periodSeconds": 1}


def http_pod(name: str, path: str, node: str = "gpu-1") -> Json:
    """A pod that is ready while its server answers well for a path."""
    ports = [{"name": "web", "containerPort": 8000}]
    serves = container(PYTHON, "-c", HTTP_SERVER, ports=ports, readinessProbe=asks(path))
    return pod(name, serves, nodeSelector={"kubernetes.io/hostname": node})


def grpc_pod(name: str, service: str) -> Json:
    """A pod that is ready while its server says SERVING for a service."""
    probe = {"grpc": {"port": 8001, "service": service}, "periodSeconds": 1, "timeoutSeconds": 5}
    return pod(name, container(PYTHON, "-c", GRPC_SERVER, readinessProbe=probe))


def tcp_pod(name: str, port: int) -> Json:
    """A pod that is ready while a port is open."""
    listens = container(PYTHON, "-m", "http.server", "8000")
    return pod(name, {**listens, "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}})


PODS = [
    pod(
        "starts-slowly",
        shell(
            f"sleep 5; touch /work/up; {FOREVER}",
            volumeMounts=WORK,
            startupProbe=has("/work/up", failureThreshold=60),
            # each of the two would act on its first failure, long before the container is up
            livenessProbe=has("/work/up"),
            readinessProbe=runs("sh", "-c", "test -e /work/up || touch /work/asked-too-early"),
        ),
        volumes=SHARED,
    ),
    pod("never-starts", shell(FOREVER, startupProbe=has("/none", failureThreshold=2))),
    pod("comes-and-goes", shell(FOREVER, volumeMounts=WORK, readinessProbe=has("/work/ready")), volumes=SHARED),
    pod(
        "dies",
        shell(f"trap 'exit 7' TERM; {FOREVER}", livenessProbe=runs("sh", "-c", "echo not well; exit 1")),
        terminationGracePeriodSeconds=30,
    ),
    pod(
        "deaf",
        shell(f"trap '' TERM; {FOREVER}", livenessProbe=runs("false", terminationGracePeriodSeconds=2)),
        terminationGracePeriodSeconds=600,
    ),
    pod("dies-once", shell(FOREVER, livenessProbe=runs("false")), restartPolicy="Never"),
    pod(
        "tolerates",
        shell(
            f"touch /work/began; {FOREVER}",
            volumeMounts=WORK,
            # fails twice in a row, then succeeds
            livenessProbe=runs("sh", "-c", "echo >> /work/n; test $(($(wc -l < /work/n) % 3)) = 0", failureThreshold=3),
        ),
        volumes=SHARED,
    ),
    pod(
        "expands",
        shell(
            FOREVER,
            env=[{"name": "WORD", "value": "word"}, {"name": "EMPTY", "value": ""}],
            readinessProbe=runs("test", "$(WORD)<$(EMPTY)>", "=", "word<>"),
        ),
    ),
    pod("hangs", shell(FOREVER, readinessProbe=runs("sleep", "30", timeoutSeconds=1))),
    http_pod("http-well", "/399"),
    http_pod("http-well-too", "/200", "gpu-2"),
    http_pod("http-ill", "/404"),
    tcp_pod("tcp-well", 8000),
    tcp_pod("tcp-ill", 8009),
    grpc_pod("grpc-well", "well"),
    grpc_pod("grpc-ill", "other"),
    pod("gated", shell(FOREVER), readinessGates=[{"conditionType": "loadgen.test/fed"}]),
    pod(
        "ends-slowly",
        shell(FOREVER, lifecycle={"preStop": {"sleep": {"seconds": 60}}}),
        terminationGracePeriodSeconds=90,
    ),
]


def service(name: str) -> Json:
    """A Service of one pod."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


SERVICES = [service(name) for name in ("comes-and-goes", "ends-slowly", "http-well", "http-well-too")]


@pytest.fixture(scope="module", autouse=True)
def _made(cluster: Cluster) -> None:
    cluster.create(*SERVICES, *PODS)


def endpoint(cluster: Cluster, name: str) -> Json:
    """The conditions of the only endpoint of a Service; empty while there is none."""
    selector = f"--selector=kubernetes.io/service-name={name}"
    template = "--output=jsonpath={range .items[*].endpoints[*].conditions}{.ready} {.serving} {.terminating}{end}"
    words = cluster.kubectl("get", "endpointslices", selector, template).split()
    return dict(zip(("ready", "serving", "terminating"), (word == "true" for word in words), strict=False))


# -- readiness --------------------------------------------------------------------------------------------------------


def test_readiness_toggles_the_endpoint(cluster: Cluster) -> None:
    """If the readiness probe fails, the pod is removed from all Services; it is not restarted, and comes back."""

    def becomes(well: bool) -> None:
        cluster.pod("comes-and-goes", lambda each: ready(each) is well)
        eventually(lambda: endpoint(cluster, "comes-and-goes").get("ready") is well, f"an endpoint, ready: {well}")

    cluster.pod("comes-and-goes", phase("Running"))
    becomes(False)
    cluster.kubectl("exec", "comes-and-goes", "--", "touch", "/work/ready")
    becomes(True)
    cluster.kubectl("exec", "comes-and-goes", "--", "rm", "/work/ready")
    becomes(False)
    assert status(cluster.get("pod", "comes-and-goes"))["restartCount"] == 0
    cluster.event("comes-and-goes", "Unhealthy", "Readiness probe failed:")


def test_endpoint_of_a_pod_that_ends(cluster: Cluster) -> None:
    """While a deleted pod still ends, its endpoint is terminating, not ready, and serving if the pod is ready."""
    cluster.pod("ends-slowly", ready)
    eventually(lambda: endpoint(cluster, "ends-slowly").get("ready"), "an endpoint")
    cluster.kubectl("delete", "pod", "ends-slowly", "--wait=false")
    wanted = {"ready": False, "serving": True, "terminating": True}
    eventually(lambda: endpoint(cluster, "ends-slowly") == wanted, "a terminating endpoint")
    cluster.kubectl("delete", "pod", "ends-slowly", "--grace-period=1")


@pytest.mark.parametrize("name", ["http-well", "http-well-too"])
@pytest.mark.parametrize("client", ["http-well", "http-well-too"])
def test_service_leads_to_a_ready_pod(cluster: Cluster, name: str, client: str) -> None:
    """A Service's address leads to the ready pods behind it: from any node, and from the pod itself."""
    cluster.pod(name, ready)
    cluster.pod(client, ready)
    address = cluster.get("service", name)["spec"]["clusterIP"]
    request = f"r.Request('http://{address}/203', headers={{'X-Asks': 'probe'}})"
    asked = f"import urllib.request as r; print(r.urlopen({request}, timeout=3).status)"
    eventually(lambda: cluster.run("exec", client, "--", PYTHON, "-c", asked).stdout == "203\n", "an answer", 30)


def test_readiness_gate(cluster: Cluster) -> None:
    """A pod is ready only when all its containers are, and all conditions of its readinessGates are True."""
    last = cluster.pod("gated", lambda each: status(each).get("ready"))
    assert not ready(last)
    fed = '--patch={"status":{"conditions":[{"type":"loadgen.test/fed","status":"True"}]}}'
    cluster.kubectl("patch", "pod", "gated", "--subresource=status", fed)
    cluster.pod("gated", ready)


# -- startup ----------------------------------------------------------------------------------------------------------


def test_startup_gates_the_other_probes(cluster: Cluster) -> None:
    """All other probes are disabled if a startup probe is provided, until it succeeds."""
    last = cluster.pod("starts-slowly", ready)
    assert status(last)["restartCount"] == 0
    assert status(last)["started"] is True
    assert cluster.kubectl("exec", "starts-slowly", "--", "ls", "/work") == "up\n"


def test_startup_fails(cluster: Cluster) -> None:
    """If the startup probe fails, the container is killed and subject to its restart policy."""
    last = cluster.pod("never-starts", restarted(1))
    assert ended(last)["exitCode"] == 137
    cluster.event("never-starts", "Unhealthy", "Startup probe failed:")
    cluster.event("never-starts", "Killing", "Container main failed startup probe, will be restarted")


# -- liveness ---------------------------------------------------------------------------------------------------------


def test_liveness_fails(cluster: Cluster) -> None:
    """If the liveness probe fails, the container is killed, with SIGTERM at first, and restarted; events tell both."""
    last = cluster.pod("dies", restarted(1))
    assert status(last)["lastState"]["terminated"]["exitCode"] == 7
    cluster.event("dies", "Unhealthy", "Liveness probe failed: not well")
    cluster.event("dies", "Killing", "Container main failed liveness probe, will be restarted")


def test_grace_period_of_a_probe(cluster: Cluster) -> None:
    """A probe's terminationGracePeriodSeconds overrides the pod's."""
    last = cluster.pod("deaf", restarted(1))
    assert status(last)["lastState"]["terminated"]["exitCode"] == 137


def test_liveness_fails_without_restarts(cluster: Cluster) -> None:
    """With restartPolicy Never a container that its liveness probe has killed fails the pod."""
    last = cluster.pod("dies-once", over)
    assert (last["status"]["phase"], status(last)["restartCount"]) == ("Failed", 0)


def test_failure_threshold(cluster: Cluster) -> None:
    """Only failureThreshold failures in a row are a failure: two of three do nothing but an event."""
    cluster.event("tolerates", "Unhealthy", "Liveness probe failed:")
    asked = ["exec", "tolerates", "--", "sh", "-c", "wc -l < /work/n"]
    eventually(lambda: int(cluster.run(*asked).stdout or 0) >= 7, "seven probes")
    assert status(cluster.get("pod", "tolerates"))["restartCount"] == 0


# -- kinds of probes --------------------------------------------------------------------------------------------------


def test_exec_probe_expands_variables(cluster: Cluster) -> None:
    """$(VAR) in the command of a probe is replaced by the container's variables, an empty one by nothing."""
    cluster.pod("expands", ready)


def test_exec_probe_in_time(cluster: Cluster) -> None:
    """A probe that does not answer within timeoutSeconds has failed."""
    cluster.event("hangs", "Unhealthy", "command timed out after 1s")
    assert not ready(cluster.get("pod", "hangs"))


def test_http_probe(cluster: Cluster) -> None:
    """An HTTP status of at least 200 and less than 400 is success, any other a failure; headers are sent."""
    cluster.pod("http-well", ready)
    cluster.event("http-ill", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")
    assert not ready(cluster.get("pod", "http-ill"))


def test_equal_events_are_one(cluster: Cluster) -> None:
    """An event that is repeated is one object whose count grows."""

    def count() -> int:
        query = "--field-selector=involvedObject.name=http-ill,reason=Unhealthy"
        template = '--output=jsonpath={range .items[*]}{.count}:{.message}{"\\n"}{end}'
        listed = cluster.kubectl("get", "events", query, template).splitlines()
        (counted,) = [line for line in listed if line.endswith("statuscode: 404")] or ["0:"]
        return int(counted.partition(":")[0])

    eventually(lambda: count() >= 3, "a count of three")


def test_tcp_probe(cluster: Cluster) -> None:
    """A port that is open is success, one that is not a failure."""
    cluster.pod("tcp-well", ready)
    cluster.event("tcp-ill", "Unhealthy", ":8009: connect: connection refused")
    assert not ready(cluster.get("pod", "tcp-ill"))


def test_grpc_probe(cluster: Cluster) -> None:
    """The gRPC health protocol is asked for the service: SERVING is success, any other answer a failure."""
    cluster.pod("grpc-well", ready)
    cluster.event("grpc-ill", "Unhealthy", 'service unhealthy (responded with "NOT_SERVING")')
    assert not ready(cluster.get("pod", "grpc-ill"))
