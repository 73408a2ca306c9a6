"""Probes and their effects, checked against the Kubernetes documentation (Probes, EndpointSlices).

Needs the sandbox's build; takes about a minute.
"""

from typing import Any

import pytest

from support.kube.cluster import (
    FOREVER,
    PYTHON,
    Cluster,
    Json,
    container,
    eventually,
    finished,
    mount,
    phase,
    pod,
    ready,
    restarted,
    shell,
    status,
    terminated,
)

pytestmark = pytest.mark.timeout(240)

WORK = [mount("work", "/work")]
SHARED = [{"name": "work", "emptyDir": {}}]

HTTP_SERVER = """
import http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = int(self.path.strip("/")) if self.headers["X-Client"] == "probe" else 400
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
                lambda request, _: b"\\x08\\x01" if request.endswith(b"well") else b"\\x08\\x02"
            )
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Health(),))
server.add_insecure_port("0.0.0.0:8001")
server.start()
server.wait_for_termination()
"""


def runs(*command: str, **fields: Any) -> Json:
    """Return a probe that runs a command every second; its timeout is long, as a command may be slow to start."""
    timing = {"periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 1}
    return {"exec": {"command": list(command)}, **timing, **fields}


def has(file: str, **fields: Any) -> Json:
    """Return a probe that succeeds while a file exists."""
    return runs("test", "-e", file, **fields)


def gets(path: str) -> Json:
    """Return an HTTP probe of the port `web`, every second."""
    headers = [{"name": "X-Client", "value": "probe"}]
    return {"httpGet": {"path": path, "port": "web", "httpHeaders": headers}, "periodSeconds": 1}


def http_pod(name: str, path: str, node: str = "gpu-1") -> Json:
    """Return a pod whose readiness probe requests a path; the server answers with the status in the path."""
    ports = [{"name": "web", "containerPort": 8000}]
    server = container(PYTHON, "-c", HTTP_SERVER, ports=ports, readinessProbe=gets(path))
    return pod(name, server, nodeSelector={"kubernetes.io/hostname": node})


def grpc_pod(name: str, service: str) -> Json:
    """Return a pod whose readiness probe checks a gRPC service."""
    probe = {"grpc": {"port": 8001, "service": service}, "periodSeconds": 1, "timeoutSeconds": 5}
    return pod(name, container(PYTHON, "-c", GRPC_SERVER, readinessProbe=probe))


def tcp_pod(name: str, port: int) -> Json:
    """Return a pod whose readiness probe connects to a port; the server listens on 8000."""
    server = container(PYTHON, "-m", "http.server", "8000")
    return pod(name, {**server, "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}})


PODS = [
    pod(
        "slow-start",
        shell(
            f"sleep 5; touch /work/up; {FOREVER}",
            volumeMounts=WORK,
            startupProbe=has("/work/up", failureThreshold=60),
            # without the startup probe, each of the two would act on its first failure
            livenessProbe=has("/work/up"),
            readinessProbe=runs("sh", "-c", "test -e /work/up || touch /work/probed-too-early"),
        ),
        volumes=SHARED,
    ),
    pod("never-starts", shell(FOREVER, startupProbe=has("/none", failureThreshold=2))),
    pod("toggles", shell(FOREVER, volumeMounts=WORK, readinessProbe=has("/work/ready")), volumes=SHARED),
    pod(
        "fails-liveness",
        shell(f"trap 'exit 7' TERM; {FOREVER}", livenessProbe=runs("sh", "-c", "echo unhealthy; exit 1")),
        terminationGracePeriodSeconds=30,
    ),
    pod(
        "ignores-sigterm",
        shell(f"trap '' TERM; {FOREVER}", livenessProbe=runs("false", terminationGracePeriodSeconds=2)),
        terminationGracePeriodSeconds=600,
    ),
    pod("no-restart", shell(FOREVER, livenessProbe=runs("false")), restartPolicy="Never"),
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
    pod("times-out", shell(FOREVER, readinessProbe=runs("sleep", "30", timeoutSeconds=1))),
    http_pod("http-well", "/399"),
    http_pod("http-well-too", "/200", "gpu-2"),
    http_pod("http-ill", "/404"),
    tcp_pod("tcp-well", 8000),
    tcp_pod("tcp-ill", 8009),
    grpc_pod("grpc-well", "well"),
    grpc_pod("grpc-ill", "other"),
    pod("gated", shell(FOREVER), readinessGates=[{"conditionType": "loadgen.test/approved"}]),
    pod(
        "slow-stop",
        shell(FOREVER, lifecycle={"preStop": {"sleep": {"seconds": 600}}}),
        terminationGracePeriodSeconds=900,
    ),
]


def service(name: str) -> Json:
    """Return a Service of one pod."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


SERVICES = [service(name) for name in ("toggles", "slow-stop", "http-well", "http-well-too")]


@pytest.fixture(scope="module", autouse=True)
def _pods(cluster: Cluster) -> None:
    cluster.create(*SERVICES, *PODS)


def endpoint(cluster: Cluster, name: str) -> Json:
    """Return the conditions of the only endpoint of a Service; empty while there is none."""
    selector = f"--selector=kubernetes.io/service-name={name}"
    template = "--output=jsonpath={range .items[*].endpoints[*].conditions}{.ready} {.serving} {.terminating}{end}"
    values = cluster.kubectl("get", "endpointslices", selector, template).split()
    return dict(zip(("ready", "serving", "terminating"), (value == "true" for value in values), strict=False))


# -- readiness --------------------------------------------------------------------------------------------------------


def test_readiness_toggles_the_endpoint(cluster: Cluster) -> None:
    """If the readiness probe fails, the pod is removed from Services without a restart, until the probe succeeds."""

    def becomes(expected: bool) -> None:
        cluster.pod("toggles", lambda each: ready(each) is expected)
        eventually(lambda: endpoint(cluster, "toggles").get("ready") is expected, f"an endpoint, ready: {expected}")

    cluster.pod("toggles", phase("Running"))
    becomes(False)
    cluster.kubectl("exec", "toggles", "--", "touch", "/work/ready")
    becomes(True)
    cluster.kubectl("exec", "toggles", "--", "rm", "/work/ready")
    becomes(False)
    assert status(cluster.get("pod", "toggles"))["restartCount"] == 0
    cluster.event("toggles", "Unhealthy", "Readiness probe failed:")


def test_endpoint_of_a_terminating_pod(cluster: Cluster) -> None:
    """The endpoint of a terminating pod is not ready, but serving while the pod is ready."""
    cluster.pod("slow-stop", ready)
    eventually(lambda: endpoint(cluster, "slow-stop").get("ready"), "an endpoint")
    cluster.kubectl("delete", "pod", "slow-stop", "--wait=false")
    expected = {"ready": False, "serving": True, "terminating": True}
    eventually(lambda: endpoint(cluster, "slow-stop") == expected, "a terminating endpoint")
    cluster.kubectl("delete", "pod", "slow-stop", "--grace-period=1")


@pytest.mark.parametrize("name", ["http-well", "http-well-too"])
@pytest.mark.parametrize("client", ["http-well", "http-well-too"])
def test_service_leads_to_a_ready_pod(cluster: Cluster, name: str, client: str) -> None:
    """The address of a Service leads to its ready pods, from every node and from the pod itself."""
    cluster.pod(name, ready)
    cluster.pod(client, ready)
    address = cluster.get("service", name)["spec"]["clusterIP"]
    request = f"r.Request('http://{address}/203', headers={{'X-Client': 'probe'}})"
    script = f"import urllib.request as r; print(r.urlopen({request}, timeout=30).status)"
    eventually(lambda: cluster.run("exec", client, "--", PYTHON, "-c", script).stdout == "203\n", "a response")


def test_readiness_gate(cluster: Cluster) -> None:
    """A pod is ready only when all its containers are, and all conditions of its readinessGates are True."""
    last = cluster.pod("gated", lambda each: status(each).get("ready"))
    assert not ready(last)
    patch = '--patch={"status":{"conditions":[{"type":"loadgen.test/approved","status":"True"}]}}'
    cluster.kubectl("patch", "pod", "gated", "--subresource=status", patch)
    cluster.pod("gated", ready)


# -- startup ----------------------------------------------------------------------------------------------------------


def test_startup_gates_the_other_probes(cluster: Cluster) -> None:
    """All other probes are disabled if a startup probe is provided, until it succeeds."""
    last = cluster.pod("slow-start", ready)
    assert status(last)["restartCount"] == 0
    assert status(last)["started"] is True
    assert cluster.kubectl("exec", "slow-start", "--", "ls", "/work") == "up\n"


def test_startup_fails(cluster: Cluster) -> None:
    """If the startup probe fails, the container is killed and subject to its restart policy."""
    last = cluster.pod("never-starts", restarted(1))
    assert terminated(last)["exitCode"] == 137
    cluster.event("never-starts", "Unhealthy", "Startup probe failed:")
    cluster.event("never-starts", "Killing", "Container main failed startup probe, will be restarted")


# -- liveness ---------------------------------------------------------------------------------------------------------


def test_liveness_fails(cluster: Cluster) -> None:
    """If the liveness probe fails, the container is stopped with SIGTERM and restarted, which events record."""
    last = cluster.pod("fails-liveness", restarted(1))
    assert terminated(last)["exitCode"] == 7
    cluster.event("fails-liveness", "Unhealthy", "Liveness probe failed: unhealthy")
    cluster.event("fails-liveness", "Killing", "Container main failed liveness probe, will be restarted")


def test_grace_period_of_a_probe(cluster: Cluster) -> None:
    """A probe's terminationGracePeriodSeconds overrides the pod's."""
    last = cluster.pod("ignores-sigterm", restarted(1))
    assert terminated(last)["exitCode"] == 137


def test_liveness_fails_without_restarts(cluster: Cluster) -> None:
    """With restartPolicy Never, a container killed by its liveness probe fails the pod."""
    last = cluster.pod("no-restart", finished)
    assert (last["status"]["phase"], status(last)["restartCount"]) == ("Failed", 0)


def test_failure_threshold(cluster: Cluster) -> None:
    """The probe fails only with failureThreshold failures in a row; two of three are only recorded as events."""
    cluster.event("tolerates", "Unhealthy", "Liveness probe failed:")
    count = ["exec", "tolerates", "--", "sh", "-c", "wc -l < /work/n"]
    eventually(lambda: int(cluster.run(*count).stdout or 0) >= 7, "seven probes")
    assert status(cluster.get("pod", "tolerates"))["restartCount"] == 0


# -- kinds of probes --------------------------------------------------------------------------------------------------


def test_exec_probe_expands_variables(cluster: Cluster) -> None:
    """$(VAR) in the command of a probe is replaced by the container's variables, even by an empty one."""
    cluster.pod("expands", ready)


def test_exec_probe_timeout(cluster: Cluster) -> None:
    """A probe that does not finish within timeoutSeconds has failed."""
    cluster.event("times-out", "Unhealthy", "command timed out after 1s")
    assert not ready(cluster.get("pod", "times-out"))


def test_http_probe(cluster: Cluster) -> None:
    """A status from 200 to 399 is success, any other a failure; the probe sends its httpHeaders."""
    cluster.pod("http-well", ready)
    cluster.event("http-ill", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")
    assert not ready(cluster.get("pod", "http-ill"))


def test_equal_events_are_counted(cluster: Cluster) -> None:
    """A repeated event is one object with a growing count."""

    def count() -> int:
        query = "--field-selector=involvedObject.name=http-ill,reason=Unhealthy"
        template = '--output=jsonpath={range .items[*]}{.count}:{.message}{"\\n"}{end}'
        lines = cluster.kubectl("get", "events", query, template).splitlines()
        (line,) = [each for each in lines if each.endswith("statuscode: 404")] or ["0:"]
        return int(line.partition(":")[0])

    eventually(lambda: count() >= 3, "a count of three")


def test_tcp_probe(cluster: Cluster) -> None:
    """An open port is success, a closed one a failure."""
    cluster.pod("tcp-well", ready)
    cluster.event("tcp-ill", "Unhealthy", ":8009: connect: connection refused")
    assert not ready(cluster.get("pod", "tcp-ill"))


def test_grpc_probe(cluster: Cluster) -> None:
    """The probe checks the service by the gRPC health protocol: SERVING is success, any other status a failure."""
    cluster.pod("grpc-well", ready)
    cluster.event("grpc-ill", "Unhealthy", 'service unhealthy (responded with "NOT_SERVING")')
    assert not ready(cluster.get("pod", "grpc-ill"))
