"""Reads the use of CPU and memory by the nodes with replicas on them, and by the replicas, in a cluster's metrics API.

The API has a new mean about every 15 s, over `window` before `timestamp`. Each is recorded once, at the time at which
it was read first.
"""

import http.client
from typing import Any

from pydantic import BaseModel, ValidationError

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.base.quantity import parse_quantity
from loadgen.base.urls import redacted
from loadgen.collect.raw import fetch
from loadgen.collect.rows import Sample
from loadgen.collect.scrape_targets import Node, NodeUse
from loadgen.dataset.names import SignalName

TIMEOUT_S = 4.0
_OF_NODE = (SignalName.NODE_CPU_RATIO, SignalName.NODE_MEMORY_RATIO)
_OF_REPLICA = (SignalName.REPLICA_CPU_RATIO, SignalName.REPLICA_MEMORY_RATIO)


class _Metadata(BaseModel):
    name: str


class _Usage(BaseModel):
    cpu: str
    memory: str


class _Container(BaseModel):
    usage: _Usage


class _NodeItem(BaseModel):
    metadata: _Metadata
    timestamp: str
    usage: _Usage


class _PodItem(BaseModel):
    metadata: _Metadata
    timestamp: str
    containers: list[_Container]


class _List(BaseModel):
    items: list[Any]


class NodeUseReader:
    """Reads both lists; remembers which values were recorded.

    Args:
        clock: The run's time axis.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recorded: dict[tuple[bool, str], str] = {}

    def read(self, use: NodeUse) -> list[Sample]:
        """Read the values that are new; an item that cannot be read does not cost the others.

        Raises:
            CollectError: the API does not answer, or its answer is not a list.
        """
        samples: list[Sample] = []
        if use.nodes_url is not None:
            for each in _items(use.nodes_url):
                samples += self._node(each, use)
        if use.replicas_url is not None:
            for each in _items(use.replicas_url):
                samples += self._replica(each, use)
        return samples

    def _node(self, content: Any, use: NodeUse) -> list[Sample]:
        try:
            item = _NodeItem.model_validate(content)
            used = _amounts([item.usage])
        except ValueError:
            return []
        name = item.metadata.name
        return self._samples(_OF_NODE, name, item.timestamp, used, use.nodes.get(name))

    def _replica(self, content: Any, use: NodeUse) -> list[Sample]:
        try:
            item = _PodItem.model_validate(content)
            used = _amounts([each.usage for each in item.containers])
        except ValueError:
            return []
        name = item.metadata.name
        return self._samples(_OF_REPLICA, name, item.timestamp, used, use.nodes.get(use.node_of.get(name, "")))

    def _samples(
        self, signals: tuple[SignalName, ...], name: str, stamp: str, used: tuple[float, float], node: Node | None
    ) -> list[Sample]:
        key = (signals == _OF_NODE, name)
        if node is None or self._recorded.get(key) == stamp:
            return []
        self._recorded[key] = stamp
        t_s = self._clock.now_s()
        has = (node.cpu_cores, node.memory_bytes)
        return [
            Sample(t_s, signal, name, value / whole)
            for signal, value, whole in zip(signals, used, has, strict=True)
            if whole
        ]


def _items(url: str) -> list[Any]:
    try:
        return _List.model_validate_json(fetch(url, TIMEOUT_S, lines=False)).items
    except (OSError, http.client.HTTPException) as error:
        raise CollectError(redacted(f"the metrics API of the cluster does not answer: {error}")) from error
    except ValidationError as error:
        raise CollectError(f"the metrics API of the cluster has no list: {str(error).splitlines()[0]}") from error


def _amounts(usages: list[_Usage]) -> tuple[float, float]:
    """CPUs and bytes in use.

    Raises:
        ValueError: one of them is not a quantity, or is negative.
    """
    cpu = sum(float(parse_quantity(each.cpu)) for each in usages)
    memory = sum(float(parse_quantity(each.memory)) for each in usages)
    if cpu < 0 or memory < 0:
        raise ValueError("a negative use")
    return cpu, memory
