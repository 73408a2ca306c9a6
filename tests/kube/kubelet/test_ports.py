"""Ports of pods, forwarded by the Python client and by kubectl through the real API server."""

import hashlib
import random
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from support.kube.cluster import PYTHON, Cluster, Json, container, over, pod, ready, shell
from support.kube.forwards import api_of, by_kubectl, by_python, read_all, there_and_back
from support.kube.sandboxes import inside

pytestmark = pytest.mark.timeout(240)

ECHO, DIGEST, LOCAL, NOBODY = 18000, 18001, 18002, 18099
"""High, as one pod is in the network of its node."""
SERVER = f"""
import asyncio, hashlib, socket

async def echo(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
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
    """A pod with the three servers."""
    probe = {"tcpSocket": {"port": DIGEST}, "periodSeconds": 1}
    return pod(name, container(PYTHON, "-c", SERVER, readinessProbe=probe), **spec)


@pytest.fixture(scope="module", autouse=True)
def _made(cluster: Cluster) -> None:
    cluster.create(serving("serves"))
    cluster.pod("serves", ready)


@pytest.fixture(scope="module")
def core(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    with api_of(cluster.sandbox) as api:
        yield api


# -- the Python client ------------------------------------------------------------------------------------------------


def test_the_python_client_reaches_what_listens_inside_the_pod_alone(cluster: Cluster, core) -> None:
    """Bytes go to the pod's own localhost, as with container runtimes; several ports go over one WebSocket."""
    with by_python(core, cluster.namespace, "serves", LOCAL, ECHO) as forward:
        assert forward.socket(LOCAL).recv(100) == b"serves"
        assert there_and_back(forward.socket(ECHO), b"hello") == b"hello"
        assert (forward.error(LOCAL), forward.error(ECHO)) == (None, None)


def test_the_python_client_sends_and_gets_much(cluster: Cluster, core) -> None:
    """5 MB go there and come back at the same time, byte for byte."""
    with by_python(core, cluster.namespace, "serves", ECHO) as forward:
        assert there_and_back(forward.socket(ECHO), LARGE) == LARGE


def test_the_python_client_is_told_of_a_refused_port(cluster: Cluster, core) -> None:
    """The error channel says who refused, and the socket ends; the other port of the same WebSocket goes on."""
    with by_python(core, cluster.namespace, "serves", NOBODY, ECHO) as forward:
        assert read_all(forward.socket(NOBODY)) == b""
        told = forward.error(NOBODY)
        assert told.startswith(f"error forwarding port {NOBODY} to pod serves, uid ")
        assert f"dial tcp4 127.0.0.1:{NOBODY}: connect: connection refused" in told
        assert there_and_back(forward.socket(ECHO), b"still there") == b"still there"


def test_the_python_client_holds_two_forwards_at_once(cluster: Cluster, core) -> None:
    """Two of one port do not meet: what one sends the other does not get."""
    with (
        by_python(core, cluster.namespace, "serves", ECHO) as one,
        by_python(core, cluster.namespace, "serves", ECHO) as other,
    ):
        one.socket(ECHO).sendall(b"of the one")
        assert there_and_back(other.socket(ECHO), b"of the other") == b"of the other"
        assert one.socket(ECHO).recv(100) == b"of the one"


def test_the_python_client_sees_the_end_of_a_pod(cluster: Cluster, core) -> None:
    """A pod that is deleted meanwhile ends the connection."""
    cluster.create(serving("goes-first"))
    cluster.pod("goes-first", ready)
    with by_python(core, cluster.namespace, "goes-first", ECHO) as forward:
        assert there_and_back(forward.socket(ECHO), b"hello") == b"hello"
        cluster.kubectl("delete", "pod", "goes-first", "--grace-period=1")
        assert read_all(forward.socket(ECHO)) == b""


def test_the_python_client_is_told_of_a_pod_that_is_over(cluster: Cluster, core) -> None:
    """It has no network any more; the refusal says so."""
    cluster.create(pod("over", shell("true"), restartPolicy="Never"))
    cluster.pod("over", over)
    with (
        pytest.raises(client.ApiException, match='pod "over" is not running'),
        by_python(core, cluster.namespace, "over", 80),
    ):
        pass


# -- kubectl ----------------------------------------------------------------------------------------------------------


def test_kubectl_passes_on_the_end_of_what_is_sent(cluster: Cluster) -> None:
    """A server that answers when it has read everything answers: 5 MB there, then their digest back."""
    with by_kubectl(cluster, "serves", f":{DIGEST}") as forward, forward.dial() as connection:
        connection.sendall(LARGE)
        connection.shutdown(1)
        assert read_all(connection).decode() == hashlib.sha256(LARGE).hexdigest()


def test_kubectl_carries_many_connections_at_once(cluster: Cluster) -> None:
    """Twenty connections at the same time, each with its own bytes there and back; one more carries 5 MB."""
    with by_kubectl(cluster, "pod/serves", f":{ECHO}") as forward:
        sent = [*(f"{number} ".encode() * 10_000 for number in range(20)), LARGE]
        got = [b""] * len(sent)

        def carry(number: int) -> None:
            with forward.dial() as connection:
                got[number] = there_and_back(connection, sent[number])

        carriers = [threading.Thread(target=carry, args=(number,)) for number in range(len(sent))]
        for each in carriers:
            each.start()
        for each in carriers:
            each.join()
    assert got == sent


def test_kubectl_gives_up_one_connection_and_keeps_the_others(cluster: Cluster) -> None:
    """A client that leaves in the midst of an answer ends its own connection alone."""
    with by_kubectl(cluster, "serves", f":{ECHO}") as forward, forward.dial() as stays:
        assert there_and_back(stays, b"before") == b"before"
        with forward.dial() as leaves:
            leaves.sendall(LARGE[:500_000])
        assert there_and_back(stays, b"after") == b"after"


def test_kubectl_reaches_a_pod_in_the_network_of_its_node(cluster: Cluster) -> None:
    """With hostNetwork the pod's localhost is the node's; through a Service the pod is found by its labels."""
    cluster.create(serving("of-the-node", hostNetwork=True))
    cluster.pod("of-the-node", ready)
    cluster.kubectl("expose", "pod", "of-the-node", "--port=80", f"--target-port={ECHO}")
    with by_kubectl(cluster, "service/of-the-node", ":80") as forward, forward.dial() as connection:
        assert there_and_back(connection, b"hello") == b"hello"


def test_kubectl_without_websockets_is_refused(cluster: Cluster) -> None:
    """Our limit: bare SPDY, which kubectl before 1.31 speaks, is refused in one sentence that says what is needed."""
    line = f"kubectl --namespace={cluster.namespace} port-forward serves :{ECHO} 2>&1"
    output = inside(cluster.sandbox, "env", "KUBECTL_PORT_FORWARD_WEBSOCKETS=false", "sh", "-c", line, check=False)
    assert "port-forward requires a WebSocket with v4.channel.k8s.io or SPDY/3.1+portforward.k8s.io" in output


def test_kubectl_is_told_of_a_refused_port(cluster: Cluster) -> None:
    """It says who refused, and gives the forward up, as it does with every kubelet."""
    with by_kubectl(cluster, "serves", f":{NOBODY}") as forward:
        with forward.dial() as connection:
            assert read_all(connection) == b""
        code, said = forward.end()
    assert f"connect: connection refused, dial tcp6 [::1]:{NOBODY}" in said
    assert (code, said.splitlines()[-1]) == (1, "error: lost connection to pod")


def test_kubectl_sees_the_end_of_a_pod(cluster: Cluster) -> None:
    """A pod that is deleted meanwhile ends its connections; the next one is told why."""
    cluster.create(serving("goes"))
    cluster.pod("goes", ready)
    with by_kubectl(cluster, "goes", f":{ECHO}") as forward:
        with forward.dial() as connection:
            assert there_and_back(connection, b"hello") == b"hello"
            cluster.kubectl("delete", "pod", "goes", "--grace-period=1")
            assert read_all(connection) == b""
        with forward.dial() as connection:
            assert read_all(connection) == b""
        code, said = forward.end()
    assert re.search(rf"error forwarding port {ECHO} to pod goes, uid \S+: the pod is not running", said), said
    assert code == 1
