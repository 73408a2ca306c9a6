"""A watch that is refused, cut off or answered with nonsense."""

import json
import queue
from types import SimpleNamespace

import pytest
from kubernetes import client

from loadgen.kube import watches
from loadgen.kube.watches import watch_for_ever


class Over(Exception):
    """Ends what would go on for ever."""


class Listing:
    """Answers one list after another: a document, or an error that is raised."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def __call__(self, **_: object) -> object:
        if not self._answers:
            raise Over
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=json.dumps(answer))


class Stream:
    """The watch that follows each list: it says nothing and ends."""

    def stream(self, *_: object, **__: object) -> list[object]:
        return []


class Credentials:
    """Counts how often they were read anew."""

    def __init__(self) -> None:
        self.read = 0

    def renew(self) -> None:
        self.read += 1


API = Credentials()
ONE = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches.watch, "Watch", Stream)
    monkeypatch.setattr(watches, "_AGAIN_S", 0.0)


def put(source: str, *answers: object, over: bool = True) -> list[tuple[str, dict]]:
    into: queue.Queue = queue.Queue()
    if over:
        with pytest.raises(Over):
            watch_for_ever(API, source, Listing(*answers), {}, into)
    else:
        watch_for_ever(API, source, Listing(*answers), {}, into)
    return [(seen[1], seen[2]) for seen in iter(lambda: into.get() if into.qsize() else None, None)]


@pytest.mark.parametrize(
    "error",
    [
        client.ApiException(status=500, reason="no etcd"),
        client.ApiException(status=410, reason="Expired"),
        OSError(),
        ValueError("no JSON"),
    ],
)
def test_the_list_after_an_error_says_since_when_nobody_looked(error: Exception) -> None:
    """Whatever ended it, it is begun again, and the first list of all has no such time."""
    told = put("pods", ONE, error, ONE)
    assert [kind for kind, _ in told] == ["LISTED", "MODIFIED", "LISTED", "MODIFIED"]
    assert told[0][1] == {"names": ["a"], "blind_since": None}
    assert told[2][1]["blind_since"] > 0


def test_nodes_may_be_forbidden() -> None:
    """Rights of a namespace do not show nodes: that watch is given up, once and for all."""
    assert put("nodes", client.ApiException(status=403), over=False) == []


def test_pods_may_not() -> None:
    """Rights may be given while the run is on: the watch is tried again."""
    assert [kind for kind, _ in put("pods", client.ApiException(status=403), ONE)] == ["LISTED", "MODIFIED"]


def test_credentials_that_are_not_known_any_more_are_read_anew() -> None:
    """A token that ran out may have been replaced in its file."""
    before = API.read
    assert [kind for kind, _ in put("pods", client.ApiException(status=401), ONE)] == ["LISTED", "MODIFIED"]
    assert API.read == before + 1
