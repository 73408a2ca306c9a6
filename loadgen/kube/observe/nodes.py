"""Nodes of a cluster that are lost with replicas on them, and since when they had been silent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from loadgen.dataset.names import EventKind
from loadgen.kube.objects.changes import Change, NodeStory, node_changes, node_gone
from loadgen.kube.observe.pods import Pods

_LEASE_WITHIN_S = 30.0

Raw = Mapping[str, Any]


class Nodes:
    """What is known of the nodes.

    Args:
        pods: The replicas on them.
        ask: Asks when a node, by its name, renewed its lease last, without waiting: `heard` gets the answer.
    """

    def __init__(self, pods: Pods, ask: Callable[[str], None]) -> None:
        self._pods, self._ask = pods, ask
        self._stories: dict[str, NodeStory] = {}
        self._asked: list[tuple[str, Change, float]] = []

    def take(self, kind: str, raw: Raw, now_s: float, blind_since_s: float | None = None) -> Iterator[Change]:
        """One object that a watch showed; `blind_since_s` where nobody looked since then."""
        name = raw["metadata"]["name"]
        story = self._stories.setdefault(name, NodeStory())
        if kind == "DELETED":
            # pods that were moved away first were not lost with it
            on_it = self._pods.on(name, now_s if blind_since_s is None else blind_since_s, given_up=False)
            changes = node_gone(story, raw, on_it, now_s)
            del self._stories[name]
        else:
            changes = node_changes(story, raw, lambda at_s: self._pods.on(name, at_s), now_s)
        for change in changes:
            if change.kind == EventKind.NODE_LOST:
                self._asked.append((name, change, now_s))
                self._ask(name)
            else:
                yield change

    def listed(self, items: Sequence[Raw], now_s: float, blind_since_s: float | None) -> Iterator[Change]:
        """All that there are: what is not among them was taken away while nobody looked."""
        names = {each["metadata"]["name"] for each in items}
        for name in [known for known in self._stories if known not in names]:
            yield from self.take("DELETED", {"metadata": {"name": name}}, now_s, blind_since_s)
        for each in items:
            yield from self.take("MODIFIED", each, now_s)

    def heard(self, name: str, renewed_s: float | None) -> Iterator[Change]:
        """When a node renewed its lease last (Unix, s, by the API's clock); None where that is not known.

        The API waits long before it calls a node lost: what broke meanwhile began when it was last heard of.
        """
        for asked in [each for each in self._asked if each[0] == name]:
            self._asked.remove(asked)
            change = asked[1]
            silent = {} if renewed_s is None else {"silent_s": max(change.unix_s - renewed_s, 0.0)}
            yield replace(change, data={**(change.data or {}), **silent})

    def settle(self, now_s: float, *, last: bool = False) -> Iterator[Change]:
        """Losses of nodes whose lease nobody could tell of in time."""
        for name in [name for name, _, at_s in self._asked if last or now_s > at_s + _LEASE_WITHIN_S]:
            yield from self.heard(name, None)
