"""All states that objects of a cluster had, one after the other: the API server keeps them for five minutes."""

import json
from collections.abc import Callable

from support.kube.cluster import Cluster, Json

_REPLAY_S = 5


class History:
    """All states of some objects from now on.

    Args:
        cluster: A sandbox or another cluster.
        paths: Their paths in the API, such as `/api/v1/namespaces/llm/pods`.
        selector: Their labels; all objects by default.
    """

    def __init__(self, cluster: Cluster, *paths: str, selector: str = "") -> None:
        self._cluster, self._selector = cluster, selector
        self._begin = {path: self._list(path) for path in paths}

    def states(self, matches: Callable[[Json], bool]) -> list[set[str]]:
        """Return the objects that match, by uid, at the beginning and after each change of one of them."""
        matching = {_uid(each) for listed in self._begin.values() for each in listed["items"] if matches(each)}
        states = [set(matching)]
        for kind, changed in self._changes():
            matching.discard(_uid(changed))
            if kind != "DELETED" and matches(changed):
                matching.add(_uid(changed))
            states.append(set(matching))
        return states

    def _changes(self) -> list[tuple[str, Json]]:
        """Watch events in the order of their revisions, which objects of all kinds share."""
        events = [event for path, listed in self._begin.items() for event in self._replay(path, listed)]
        assert all(event["type"] != "ERROR" for event in events), f"the API server no longer has all states: {events}"
        events.sort(key=lambda event: int(event["object"]["metadata"]["resourceVersion"]))
        return [(event["type"], event["object"]) for event in events]

    def _list(self, path: str) -> Json:
        query = f"?labelSelector={self._selector}" if self._selector else ""
        listed: Json = json.loads(self._cluster.kubectl("get", f"--raw={path}{query}"))
        return listed

    def _replay(self, path: str, begin: Json) -> list[Json]:
        since = begin["metadata"]["resourceVersion"]
        query = f"?watch=1&resourceVersion={since}&timeoutSeconds={_REPLAY_S}&labelSelector={self._selector}"
        lines = self._cluster.kubectl("get", f"--raw={path}{query}").splitlines()
        return [json.loads(line) for line in lines]


def _uid(each: Json) -> str:
    return str(each["metadata"]["uid"])
