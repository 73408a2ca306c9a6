"""A watch that is refused, cut off, answered with nonsense, or goes on: against a server that plays an API server."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client

from loadgen.base.errors import TargetError
from loadgen.kube.observe import watches as module
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.watches import Watched, Watcher, heard_of, watches

WITHIN_S = 10.0

Answer = tuple[int, bytes]


def obj(name: str, version: str = "7") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version}}


def listed(*names: str, version: str = "7", more: str | None = None) -> Answer:
    meta = {"resourceVersion": version} | ({"continue": more} if more else {})
    return 200, json.dumps({"metadata": meta, "items": [obj(name) for name in names]}).encode()


def changes(*seen: tuple[str, dict[str, Any]]) -> Answer:
    return 200, b"".join(json.dumps({"type": kind, "object": raw}).encode() + b"\n" for kind, raw in seen)


def refused(status: int) -> Answer:
    return status, json.dumps({"kind": "Status", "code": status, "message": "x"}).encode()


HTML = (200, b"<html>\n<body>please log in</body>\n</html>\n")


class Server:
    """Gives one answer after another, lists and watches each in their order; then it makes the caller wait."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.lists: list[Answer] = []
        self.streams: list[Answer] = []
        self.over = threading.Event()
        play = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                answers = play.streams if "watch" in query else play.lists
                play.asked.append(query)
                if not answers:
                    play.over.wait(WITHIN_S)
                    return
                status, body = answers.pop(0)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        configuration = client.Configuration(host=f"http://127.0.0.1:{self._server.server_address[1]}")
        configuration.retries = False
        self.client = client.ApiClient(configuration)
        self.renewed = 0
        self.renew_error: Exception | None = None

    def renew(self) -> None:
        self.renewed += 1
        if self.renew_error is not None:
            raise self.renew_error

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_AGAIN_S", 0.01)
    played = Server()
    yield played
    played.close()


Take = Callable[[int], list[tuple[str, dict[str, Any], float]]]


@pytest.fixture
def watch(server: Server) -> Iterator[Callable[..., tuple[Watcher, Take]]]:
    """Starts a watch; gives it, and what takes so many things that it saw."""
    begun: list[Watcher] = []

    def start(source: str = "pods", lists: list[Answer] | None = None, streams: list[Answer] | None = None):
        server.lists, server.streams = list(lists or ()), list(streams or ())
        core, into = client.CoreV1Api(server.client), queue.Queue()
        watcher = Watcher(server, Watched(source, core.list_namespaced_pod, {"namespace": "n"}), into)
        watcher.start()
        begun.append(watcher)
        return watcher, lambda count: [into.get(timeout=WITHIN_S)[1:] for _ in range(count)]

    yield start
    for watcher in begun:
        watcher.given_up = True


def test_a_watch_goes_on_from_where_it_ended(server, watch):
    """A list at 7, a change to 9, a bookmark of 12, the end; then it asks for what came after 12, and lists no more."""
    first = changes(("MODIFIED", obj("a", "9")), ("BOOKMARK", {"metadata": {"resourceVersion": "12"}}))
    watcher, take = watch(lists=[listed("a")], streams=[first, changes(("DELETED", obj("a", "13")))])
    (kind, content, _), *others = take(3)
    assert (kind, [each["metadata"]["name"] for each in content["items"]]) == ("LISTED", ["a"])
    assert [each[0] for each in others] == ["MODIFIED", "DELETED"]
    streams = [query for query in server.asked if "watch" in query]
    assert [query["resourceVersion"] for query in streams[:2]] == ["7", "12"]
    assert all(query["allowWatchBookmarks"] == "true" for query in streams)
    assert len([query for query in server.asked if "watch" not in query]) == 1
    assert watcher.is_alive()


def test_a_long_list_comes_in_pages(server, watch):
    """Two pages are one list."""
    _, take = watch(lists=[listed("a", more="next"), listed("b")])
    ((_, content, _),) = take(1)
    assert [each["metadata"]["name"] for each in content["items"]] == ["a", "b"]
    assert [query.get("continue") for query in server.asked[:2]] == [None, "next"]
    assert all(int(query["limit"]) > 0 for query in server.asked[:2])


ENDED = [
    (refused(500), "answered with an error (500)"),
    (refused(403), "refused it (403)"),
    (refused(410), "not kept any more (410)"),
    (changes(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})), "(410)"),
    (changes(("ERROR", {"kind": "Status", "status": "Failure", "message": "x"})), "an error (no code)"),
    (HTML, "none of the Kubernetes API's answers"),
    ((200, b'["x"]\n'), "none of the Kubernetes API's answers"),
    (changes(("MODIFIED", {"kind": "Pod"})), "none of the Kubernetes API's answers"),
]


@pytest.mark.parametrize(("answer", "why"), ENDED)
def test_whatever_ends_a_watch_is_told_at_once_and_it_is_begun_again(watch, answer, why):
    """With the reason, and since when nothing is known: here since the list."""
    watcher, take = watch(lists=[listed("a"), listed("b")], streams=[answer])
    first, unheard, again = take(3)
    assert (first[0], unheard[0], again[0]) == ("LISTED", "UNHEARD", "LISTED")
    assert why in unheard[1]["why"]
    assert unheard[1]["since"] == first[2]
    assert watcher.is_alive()


@pytest.mark.parametrize("answer", [refused(500), HTML, (200, b"{}"), (200, b'{"metadata": {}, "items": [1]}')])
def test_a_list_that_is_none_is_asked_for_again(watch, answer):
    """It was not heard since it began."""
    watcher, take = watch(lists=[answer, listed("a")])
    assert [each[0] for each in take(2)] == ["UNHEARD", "LISTED"]
    assert watcher.is_alive()


def test_a_server_that_is_away_is_told_before_it_is_back(server, watch):
    """An outage that lasts to the end of a run is no secret."""
    server.close()
    watcher, take = watch()
    assert [each[1]["why"] for each in take(2)] == ["the API server did not answer"] * 2
    assert watcher.is_alive()


def test_a_connection_that_says_nothing_is_dead(monkeypatch, watch):
    """The time since its last word is not known, not the time since somebody noticed."""
    monkeypatch.setattr(module, "_SILENT_S", 0.2)
    _, take = watch(lists=[listed("a"), listed("a")])
    first, (kind, unheard, _), _ = take(3)
    assert (kind, unheard["why"], unheard["since"]) == ("UNHEARD", "nothing was heard any more", first[2])


def test_nodes_may_be_forbidden(watch):
    """Rights of a namespace do not show nodes: that watch is given up, once and for all."""
    watcher, _ = watch("nodes", lists=[refused(403)])
    watcher.join(WITHIN_S)
    assert not watcher.is_alive()
    assert watcher.given_up


@pytest.mark.parametrize("error", [None, TargetError("the file is empty"), KeyError("users")])
def test_credentials_that_are_not_known_any_more_are_read_anew(server, watch, error):
    """A token that ran out may have been replaced in its file, which may just be written."""
    server.renew_error = error
    watcher, take = watch(lists=[refused(401), listed("a")])
    assert [each[0] for each in take(2)] == ["UNHEARD", "LISTED"]
    assert server.renewed == 1
    assert watcher.is_alive()


@pytest.mark.parametrize(
    ("unread", "kind", "seen"), [([], "Deployment", "replicasets"), (["events"], "Deployment", "")]
)
def test_only_what_a_run_needs_is_watched(server, unread, kind, seen):
    """Of all events of a namespace those of pods, and those of the autoscaler's rescales."""
    observed = ObserverConfig(namespace="n", workload="w", hpa="h", kind=kind, selector="a=b", model="m", unread=unread)
    found = {each.source: each.fields.get("field_selector") for each in watches(server, observed)}
    assert found["hpas"] == "metadata.name=h"
    assert found.get("events") == (None if unread else "involvedObject.kind=Pod")
    if not unread:
        about = "involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name=h,reason=SuccessfulRescale"
        assert found["rescales"] == about
    assert ("rescales" in found) == (not unread)


@pytest.mark.parametrize(
    ("answer", "renewed_s"),
    [
        ((200, b'{"spec": {"renewTime": "1970-01-01T00:01:40.500000Z"}}'), 100.5),
        ((200, b'{"spec": null}'), None),
        (refused(403), None),
        (HTML, None),
    ],
)
def test_when_a_node_was_heard_of_last(server, answer, renewed_s):
    """By its lease; not known where that cannot be read."""
    server.lists = [answer]
    assert heard_of(server, "node-1") == renewed_s
