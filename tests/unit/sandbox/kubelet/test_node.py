"""The node object, configuration, images, addresses, logs, times and events of the process kubelet."""

import asyncio
import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import SettingsError
from loadgen.sandbox.kubelet.api_client import ApiClient, ApiError
from loadgen.sandbox.kubelet.config import KubeletConfig, read_config
from loadgen.sandbox.kubelet.container.images import Image, ImageStore, ImageTable
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.events import Events
from loadgen.sandbox.kubelet.network import AddressPool, interface_name, node_ip_commands, pod_ip_commands
from loadgen.sandbox.kubelet.node import node_object, node_status
from loadgen.sandbox.kubelet.objects import go_duration, grace_period_s, parse_rfc3339, rfc3339
from loadgen.sandbox.kubelet.streams.exec import exec_status
from loadgen.sandbox.kubelet.streams.logs import LogQuery, read_log, tail_offset


def config(**changed: Any) -> dict[str, Any]:
    files = ("ca_file", "cert_file", "key_file", "serving_cert_file", "serving_key_file", "data_dir", "logs_dir")
    return {
        "node": "node-0",
        "ip": "172.30.0.11",
        "pod_cidr": "10.244.1.0/24",
        "capacity": {"cpu": "8", "nvidia.com/gpu": "2"},
        "labels": {"nvidia.com/gpu.product": "H100"},
        "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}],
        "server": "https://172.30.0.1:6443",
        "images_file": "/images",
        **dict.fromkeys(files, "/x/y"),
        **changed,
    }


# images


def pulls(image: Image, *policies: str, pull_s: float = 0.05) -> list[str]:
    reasons: list[str] = []

    async def run() -> None:
        store = ImageStore(pull_s)
        for policy in policies:
            await store.pull("a:1", image, policy, lambda reason, message: reasons.append(reason))

    asyncio.run(run())
    return reasons


@pytest.mark.parametrize(
    ("policies", "events"),
    [
        (["IfNotPresent"], ["Pulling", "Pulled"]),
        (["IfNotPresent", "IfNotPresent"], ["Pulling", "Pulled", "Pulled"]),
        (["Always", "Always"], ["Pulling", "Pulled", "Pulling", "Pulled"]),
        (["Never"], ["Pulled"]),
    ],
)
def test_image_pull_policy(policies: list[str], events: list[str]) -> None:
    """IfNotPresent pulls only once on a node, Always pulls every time, Never does not pull."""
    assert pulls(Image(match="a:1"), *policies) == events


def test_pull_takes_its_duration_once() -> None:
    """The first pull takes the emulated duration of the image; a second pod waits for the same pull."""

    async def run() -> list[float]:
        loop, store = asyncio.get_running_loop(), ImageStore(9.0)
        started_s, image = loop.time(), Image(match="a", pull_s=0.2)

        async def one(delay_s: float) -> float:
            await asyncio.sleep(delay_s)
            await store.pull("a", image, "IfNotPresent", lambda *_: None)
            return loop.time() - started_s

        return [*await asyncio.gather(one(0.0), one(0.1)), await one(0.0)]

    first_s, second_s, third_s = asyncio.run(run())
    assert 0.2 <= first_s < 0.4
    assert abs(first_s - second_s) < 0.05
    assert third_s - max(first_s, second_s) < 0.05


def test_image_table(tmp_path: Path) -> None:
    """The first entry that matches the whole reference applies, and a changed table is read again."""
    file = tmp_path / "images.json"
    file.write_text(json.dumps([{"match": "a/.*:1", "cmd": ["one"]}, {"match": "a/.*", "cmd": ["two"]}]))
    table = ImageTable(file)
    found = [table.find(reference) for reference in ("a/b:1", "a/b:2", "xa/b")]
    assert [each.cmd if each else None for each in found] == [("one",), ("two",), None]
    file.write_text("- {match: xa/b, entrypoint: [x]}")
    assert table.find("xa/b") is not None


@pytest.mark.parametrize("text", ["{", "[{}]", "[{match: '('}]", "[{match: a, typo: 1}]", "5"])
def test_invalid_image_table(text: str, tmp_path: Path) -> None:
    """An invalid table is a settings error."""
    (tmp_path / "t").write_text(text)
    with pytest.raises(SettingsError):
        ImageTable(tmp_path / "t").find("a")


# addresses


def test_addresses_are_reused_last() -> None:
    """A released address is reused after all others, so that late requests do not reach another pod."""
    addresses = AddressPool(IPv4Network("10.244.1.0/29"))
    first = addresses.allocate()
    addresses.release(first)
    taken = [addresses.allocate() for _ in range(4)]
    assert first == IPv4Address("10.244.1.2")
    assert first not in taken
    assert addresses.allocate() == first


def test_no_address_left() -> None:
    """An exhausted pod network is an error."""
    addresses = AddressPool(IPv4Network("10.244.1.0/29"))
    for _ in range(5):
        addresses.allocate()
    with pytest.raises(StartError, match=r"no free address is left in 10.244.1.0/29"):
        addresses.allocate()


def test_ip_commands() -> None:
    """The pod's default route is its gateway; the node's route to the pod has the node's address as source."""
    settings, address = KubeletConfig(**config()), IPv4Address("10.244.1.2")
    assert "route replace 10.244.1.2/32 dev vethx scope link src 172.30.0.11" in node_ip_commands(
        "vethx", 7, address, settings
    )
    assert "route add default via 10.244.0.1 dev eth0" in pod_ip_commands(address, settings)
    assert len(interface_name("some uid")) <= 15


# the node


def test_node_object() -> None:
    """A node registers with capacity, labels, taints, addresses and the port of its API."""
    node = node_object(KubeletConfig(**config()))
    assert node["status"]["capacity"] == node["status"]["allocatable"] == {"cpu": "8", "nvidia.com/gpu": "2"}
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "H100"
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-0"
    assert node["spec"]["taints"] == [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]
    assert {"type": "InternalIP", "address": "172.30.0.11"} in node["status"]["addresses"]
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert node["status"]["declaredFeatures"] == ["ExtendWebSocketsToKubelet"]


def test_node_conditions_keep_their_transition_time() -> None:
    """A new status updates lastHeartbeatTime; lastTransitionTime changes only with a condition's status."""
    settings = KubeletConfig(**config())
    old = node_status(settings, {}, 1000.0)
    old["conditions"][0]["status"] = "Unknown"
    new = node_status(settings, old, 2000.0)
    assert [each["lastTransitionTime"] for each in new["conditions"]] == [rfc3339(2000.0)] + [rfc3339(1000.0)] * 3
    assert {each["lastHeartbeatTime"] for each in new["conditions"]} == {rfc3339(2000.0)}


@pytest.mark.parametrize("changed", [{"node": "Node_0"}, {"ip": "x"}, {"port": 0}, {"typo": 1}, {"image_pull_s": -1}])
def test_invalid_configuration(changed: dict[str, Any], tmp_path: Path) -> None:
    """An invalid or unknown setting is a settings error."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config(**changed)))
    with pytest.raises(SettingsError, match="KubeletConfig"):
        read_config(file)


# logs


async def _log(file: Path, **query: Any) -> bytes:
    return b"".join([chunk async for chunk in read_log(file, LogQuery(**query), lambda: False)])


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, b"1\n2\n3\n"),
        ({"tail_lines": 2}, b"2\n3\n"),
        ({"tail_lines": 0}, b""),
        ({"tail_lines": 9}, b"1\n2\n3\n"),
        ({"limit_bytes": 3}, b"1\n2"),
        ({"tail_lines": 2, "limit_bytes": 1}, b"2"),
        ({"since_s": 1000.0}, b"1\n2\n3\n"),
    ],
)
def test_log_options(query: dict[str, Any], text: bytes, tmp_path: Path) -> None:
    """tailLines, limitBytes and sinceSeconds select a part of the log."""
    (tmp_path / "log").write_bytes(b"1\n2\n3\n")
    assert asyncio.run(_log(tmp_path / "log", **query)) == text


def test_tail_of_an_unfinished_line(tmp_path: Path) -> None:
    """A last line without a newline counts as a line, also across chunks."""
    (tmp_path / "log").write_bytes(b"x" * 70_000 + b"\n2\n3")
    assert tail_offset(tmp_path / "log", 2) == 70_001
    assert tail_offset(tmp_path / "log", 3) == 0


def test_follow_until_the_end(tmp_path: Path) -> None:
    """A followed log continues while the container runs, and is complete at its end."""
    file = tmp_path / "log"
    file.write_bytes(b"1\n")

    async def run() -> bytes:
        runs = iter([True, True, False])
        chunks = []
        async for chunk in read_log(file, LogQuery(follow=True), lambda: next(runs)):
            chunks.append(chunk)
            if len(chunks) == 1:
                file.write_bytes(b"1\n2\n")
        return b"".join(chunks)

    assert asyncio.run(run()) == b"1\n2\n"


# API formats


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (10, "10s"), (2.5, "2.5s"), (90, "1m30s"), (300, "5m0s"), (3601, "1h0m1s")],
)
def test_go_durations(duration_s: float, text: str) -> None:
    """Messages contain durations in Go's format: "back-off 5m0s restarting failed container"."""
    assert go_duration(duration_s) == text


def test_times() -> None:
    """Times are formatted to the second in UTC and parsed again."""
    assert parse_rfc3339(rfc3339(1_700_000_000.9)) == 1_700_000_000


@pytest.mark.parametrize(
    ("meta", "spec", "seconds"),
    [
        ({}, {}, 30),
        ({}, {"terminationGracePeriodSeconds": 5}, 5),
        ({"deletionGracePeriodSeconds": 3}, {"terminationGracePeriodSeconds": 5}, 3),
        ({"deletionGracePeriodSeconds": 0}, {}, 1),
    ],
)
def test_grace_period(meta: dict[str, int], spec: dict[str, int], seconds: int) -> None:
    """The grace period is the deletion's, else the pod's, else 30 s, and at least one second."""
    assert grace_period_s({"metadata": meta, "spec": spec}) == seconds


def test_exec_status() -> None:
    """kubectl exec reads the exit code of the command from the cause ExitCode."""
    assert exec_status(0)["status"] == "Success"
    failed = exec_status(3)
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


# events


class RecordingApi(ApiClient):
    """Stores the written events."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.refuse = 0

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.refuse:
            self.refuse -= 1
            raise ApiError("unavailable")
        self.events[body["metadata"]["name"]] = body
        return body

    async def patch(self, path: str, body: dict[str, Any], kind: str = "") -> dict[str, Any]:
        self.events[path.rpartition("/")[2]] |= body
        return body


POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "c"}]}}


def written(*messages: str, refuse: int = 0) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        api = RecordingApi()
        api.refuse = refuse
        events = Events(api, "node-0")
        writing = asyncio.create_task(events.run())
        for message in messages:
            events.container_event(POD, {"name": "c"}, "Unhealthy", message, warning=True)
        await events.flush(5.0)
        writing.cancel()
        return list(api.events.values())

    return asyncio.run(run())


def test_equal_events_are_counted() -> None:
    """A repeated event is one object with a count."""
    assert [(each["message"], each["count"]) for each in written("a", "a", "b", "a")] == [("a", 3), ("b", 1)]


def test_events_name_container_and_source() -> None:
    """An event about a container refers to the container's field and has the node's kubelet as source."""
    (event,) = written("a")
    assert event["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert event["source"] == {"component": "kubelet", "host": "node-0"}
    assert (event["type"], event["reason"]) == ("Warning", "Unhealthy")


def test_events_are_retried() -> None:
    """An event is written again after a failed request."""
    assert len(written("a", refuse=1)) == 1
