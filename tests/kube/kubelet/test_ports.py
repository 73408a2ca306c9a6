"""Port-forwards by the Python client and by kubectl through the real API server.

Needs the sandbox's build; takes about a minute.
"""

import hashlib
import random
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from support.kube.cluster import PYTHON, Cluster, Json, container, finished, pod, ready, shell
from support.kube.forwards import api_of, by_kubectl, by_python, read_all, there_and_back
from support.kube.sandboxes import inside

pytestmark = pytest.mark.timeout(240)

ECHO, DIGEST, LOCAL, CLOSED = 18000, 18001, 18002, 18099
"""High ports, as one pod uses the network of its node."""
SERVER = f"""
import asyncio, hashlib, socket

async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def digest(reader, writer):
    writer.write(hashlib.sha256(await reader.read()).hexdigest().encode())
    writer.close()

async def name(reader, writer):
    writer.write(socket.gethostname().encode())
    writer.close()

async def main():
    for serve, host, port in (echo, "0.0.0.0", {ECHO}), (digest, "0.0.0.0", {DIGEST}), (name, "127.0.0.1", {LOCAL}):
        await asyncio.start_server(serve, host, port)
    await asyncio.Event().wait()

asyncio.run(main())
"""
LARGE = random.Random(7).randbytes(5_000_000)


def serving(name: str, **spec: Any) -> Json:
    """Return a pod with the three servers."""
    probe = {"tcpSocket": {"port": DIGEST}, "periodSeconds": 1}
    return pod(name, container(PYTHON, "-c", SERVER, readinessProbe=probe), **spec)


@pytest.fixture(scope="module", autouse=True)
def _pods(cluster: Cluster) -> None:
    cluster.create(serving("serves"))
    cluster.pod("serves", ready)


@pytest.fixture(scope="module")
def core(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    with api_of(cluster.sandbox) as api:
        yield api


# -- the Python client ------------------------------------------------------------------------------------------------


def test_the_python_client_reaches_localhost_of_the_pod(cluster: Cluster, core) -> None:
    """Connections go to localhost in the pod, as with container runtimes; several ports share one WebSocket."""
    with by_python(core, cluster.namespace, "serves", LOCAL, ECHO) as forward:
        assert forward.socket(LOCAL).recv(100) == b"serves"
        assert there_and_back(forward.socket(ECHO), b"hello") == b"hello"
        assert (forward.error(LOCAL), forward.error(ECHO)) == (None, None)


def test_the_python_client_transfers_large_data(cluster: Cluster, core) -> None:
    """5 MB are sent and echoed at the same time."""
    with by_python(core, cluster.namespace, "serves", ECHO) as forward:
        assert there_and_back(forward.socket(ECHO), LARGE) == LARGE


def test_the_python_client_gets_the_error_of_a_closed_port(cluster: Cluster, core) -> None:
    """The error channel has the refused address, and the socket is closed; the other port still works."""
    with by_python(core, cluster.namespace, "serves", CLOSED, ECHO) as forward:
        assert read_all(forward.socket(CLOSED)) == b""
        message = forward.error(CLOSED)
        assert message.startswith(f"error forwarding port {CLOSED} to pod serves, uid ")
        assert f"dial tcp4 127.0.0.1:{CLOSED}: connect: connection refused" in message
        assert there_and_back(forward.socket(ECHO), b"still there") == b"still there"


def test_the_python_client_opens_two_forwards(cluster: Cluster, core) -> None:
    """Two forwards of the same port are independent."""
    with (
        by_python(core, cluster.namespace, "serves", ECHO) as one,
        by_python(core, cluster.namespace, "serves", ECHO) as other,
    ):
        one.socket(ECHO).sendall(b"of the one")
        assert there_and_back(other.socket(ECHO), b"of the other") == b"of the other"
        assert one.socket(ECHO).recv(100) == b"of the one"


def test_the_python_client_is_disconnected_from_a_deleted_pod(cluster: Cluster, core) -> None:
    """Deleting the pod closes the connection."""
    cluster.create(serving("goes-first"))
    cluster.pod("goes-first", ready)
    with by_python(core, cluster.namespace, "goes-first", ECHO) as forward:
        assert there_and_back(forward.socket(ECHO), b"hello") == b"hello"
        cluster.kubectl("delete", "pod", "goes-first", "--grace-period=1")
        assert read_all(forward.socket(ECHO)) == b""


def test_the_python_client_gets_the_error_of_a_finished_pod(cluster: Cluster, core) -> None:
    """A finished pod has no network, which the error says."""
    cluster.create(pod("over", shell("true"), restartPolicy="Never"))
    cluster.pod("over", finished)
    with (
        pytest.raises(client.ApiException, match='pod "over" is not running'),
        by_python(core, cluster.namespace, "over", 80),
    ):
        pass


# -- kubectl ----------------------------------------------------------------------------------------------------------


def test_kubectl_passes_on_the_end_of_the_input(cluster: Cluster) -> None:
    """A server that answers after the end of its input receives 5 MB and returns their digest."""
    with by_kubectl(cluster, "serves", f":{DIGEST}") as forward, forward.dial() as connection:
        connection.sendall(LARGE)
        connection.shutdown(1)
        assert read_all(connection).decode() == hashlib.sha256(LARGE).hexdigest()


def test_kubectl_forwards_many_connections_at_once(cluster: Cluster) -> None:
    """Twenty connections echo their own data at the same time, and one more echoes 5 MB."""
    with by_kubectl(cluster, "pod/serves", f":{ECHO}") as forward:
        sent = [*(f"{number} ".encode() * 10_000 for number in range(20)), LARGE]
        received = [b""] * len(sent)

        def echo(number: int) -> None:
            with forward.dial() as connection:
                received[number] = there_and_back(connection, sent[number])

        threads = [threading.Thread(target=echo, args=(number,)) for number in range(len(sent))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert received == sent


def test_kubectl_closes_one_connection_and_keeps_the_others(cluster: Cluster) -> None:
    """A client that disconnects during a response closes only its own connection."""
    with by_kubectl(cluster, "serves", f":{ECHO}") as forward, forward.dial() as first:
        assert there_and_back(first, b"before") == b"before"
        with forward.dial() as second:
            second.sendall(LARGE[:500_000])
        assert there_and_back(first, b"after") == b"after"


def test_kubectl_reaches_a_pod_in_the_network_of_its_node(cluster: Cluster) -> None:
    """With hostNetwork localhost is the node's; kubectl finds the pod of a Service by its labels."""
    cluster.create(serving("of-the-node", hostNetwork=True))
    cluster.pod("of-the-node", ready)
    cluster.kubectl("expose", "pod", "of-the-node", "--port=80", f"--target-port={ECHO}")
    with by_kubectl(cluster, "service/of-the-node", ":80") as forward, forward.dial() as connection:
        assert there_and_back(connection, b"hello") == b"hello"


def test_kubectl_without_websockets_is_refused(cluster: Cluster) -> None:
    """Limitation: SPDY without a WebSocket, as in kubectl before 1.31, is refused with a message."""
    line = f"kubectl --namespace={cluster.namespace} port-forward serves :{ECHO} 2>&1"
    output = inside(cluster.sandbox, "env", "KUBECTL_PORT_FORWARD_WEBSOCKETS=false", "sh", "-c", line, check=False)
    assert "port-forward requires a WebSocket with v4.channel.k8s.io or SPDY/3.1+portforward.k8s.io" in output


def test_kubectl_gets_the_error_of_a_closed_port(cluster: Cluster) -> None:
    """kubectl prints the refused address and stops the forward, as with any kubelet."""
    with by_kubectl(cluster, "serves", f":{CLOSED}") as forward:
        with forward.dial() as connection:
            assert read_all(connection) == b""
        code, output = forward.wait()
    assert f"connect: connection refused, dial tcp6 [::1]:{CLOSED}" in output
    assert (code, output.splitlines()[-1]) == (1, "error: lost connection to pod")


def test_kubectl_is_disconnected_from_a_deleted_pod(cluster: Cluster) -> None:
    """Deleting the pod closes its connections; the next connection gets an error."""
    cluster.create(serving("goes"))
    cluster.pod("goes", ready)
    with by_kubectl(cluster, "goes", f":{ECHO}") as forward:
        with forward.dial() as connection:
            assert there_and_back(connection, b"hello") == b"hello"
            cluster.kubectl("delete", "pod", "goes", "--grace-period=1")
            assert read_all(connection) == b""
        with forward.dial() as connection:
            assert read_all(connection) == b""
        code, output = forward.wait()
    assert re.search(rf"error forwarding port {ECHO} to pod goes, uid \S+: the pod is not running", output), output
    assert code == 1
