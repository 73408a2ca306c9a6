"""Objects and events of watches, as an observer gets them, and what it has recorded."""

import json
from datetime import UTC, datetime

from loadgen.dataset.folder import RunFolder
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.watch_event import WatchEvent

CONFIG = ObserverConfig(
    namespace="triton", workload="triton", hpa="triton", selector="app=triton", gateway="10.96.0.7:80", model="m"
)


def pod(name: str, *, ready: bool = True, uid: str | None = None) -> dict:
    container = {"name": "server", "restartCount": 0, "state": {"running": {}}}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": uid or f"uid-{name}", "creationTimestamp": "2026-11-24T12:00:00Z"},
        "status": {"podIP": "10.244.1.5", "conditions": [condition], "containerStatuses": [container]},
    }


def deployment(replicas: int) -> dict:
    return {"metadata": {"name": "triton"}, "spec": {"replicas": replicas}}


def stamped(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rescale_event(size: int, at_unix_s: float) -> dict:
    involved = {"kind": "HorizontalPodAutoscaler", "name": "triton"}
    return {
        "metadata": {"uid": f"to-{size}"},
        "involvedObject": involved,
        "reason": "SuccessfulRescale",
        "message": f"New size: {size}; reason: pods metric r above target",
        "lastTimestamp": stamped(at_unix_s),
        "count": 1,
    }


def event(source: str, event_type: str, content: dict, at_s: float) -> WatchEvent:
    """An event with an object, or with the items of a list."""
    if event_type == "LISTED":
        return WatchEvent(source=source, type=event_type, at_s=at_s, items=content["items"])
    return WatchEvent(source=source, type=event_type, at_s=at_s, object=content)


RAW = ("pod_condition", "container_state", "pod_event")


def journal(folder: RunFolder, *, raw: bool = False) -> list[dict]:
    """The recorded events; the raw events of pods only with `raw`."""
    file = folder.path / "stack" / "journal.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [each for each in events if (each["kind"] in RAW) == raw]


def now(folder: RunFolder) -> float:
    return folder.read_info().clock.anchor_unix_s + 100.0


def disconnected(source: str, since_unix_s: float, at_s: float, reason: str = "timeout") -> WatchEvent:
    return WatchEvent(source=source, type="DISCONNECTED", at_s=at_s, last_contact_s=since_unix_s, reason=reason)


def gaps(folder: RunFolder) -> list[tuple]:
    events = [each for each in journal(folder) if each["kind"] == "collect_gap"]
    return [(each["data"]["watch"], each["data"]["from_s"], each["data"]["to_s"], each["message"]) for each in events]
