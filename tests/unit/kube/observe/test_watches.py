"""Watches that are refused, interrupted or answered with invalid data, against a simulated API server."""

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
from loadgen.kube.observe.watch_event import WatchEvent
from loadgen.kube.observe.watches import WatchedResource, Watcher, lease_renewal_s, watched_resources

WITHIN_S = 10.0

Answer = tuple[int, bytes]


def obj(name: str, version: str = "7") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version}}


def listed(*names: str, version: str = "7", more: str | None = None) -> Answer:
    meta = {"resourceVersion": version} | ({"continue": more} if more else {})
    return 200, json.dumps({"metadata": meta, "items": [obj(name) for name in names]}).encode()


def changes(*events: tuple[str, dict[str, Any]]) -> Answer:
    return 200, b"".join(json.dumps({"type": kind, "object": raw}).encode() + b"\n" for kind, raw in events)


def refused(status: int) -> Answer:
    return status, json.dumps({"kind": "Status", "code": status, "message": "x"}).encode()


HTML = (200, b"<html>\n<body>please log in</body>\n</html>\n")


class Server:
    """Returns the given answers to lists and to watches in order; then it lets the caller wait."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.lists: list[Answer] = []
        self.streams: list[Answer] = []
        self.closed = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                answers = server.streams if "watch" in query else server.lists
                server.requests.append(query)
                if not answers:
                    server.closed.wait(WITHIN_S)
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
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    simulated = Server()
    yield simulated
    simulated.close()


Take = Callable[[int], list[WatchEvent]]


@pytest.fixture
def watch(server: Server) -> Iterator[Callable[..., tuple[Watcher, Take]]]:
    """Starts a watch; returns it, and a function that takes a number of its events."""
    started: list[Watcher] = []

    def start(source: str = "pods", lists: list[Answer] | None = None, streams: list[Answer] | None = None):
        server.lists, server.streams = list(lists or ()), list(streams or ())
        core, events = client.CoreV1Api(server.client), queue.Queue()
        watcher = Watcher(server, WatchedResource(source, core.list_namespaced_pod, {"namespace": "n"}), events)
        watcher.start()
        started.append(watcher)
        return watcher, lambda count: [events.get(timeout=WITHIN_S) for _ in range(count)]

    yield start
    for watcher in started:
        watcher.stopped = True


def names(event: WatchEvent) -> list[str]:
    return [each["metadata"]["name"] for each in event.items]


def test_a_watch_continues_from_the_last_resource_version(server, watch):
    """A list at 7, a change to 9, a bookmark at 12, the end; then it watches from 12 without another list."""
    first = changes(("MODIFIED", obj("a", "9")), ("BOOKMARK", {"metadata": {"resourceVersion": "12"}}))
    watcher, take = watch(lists=[listed("a")], streams=[first, changes(("DELETED", obj("a", "13")))])
    first, *others = take(3)
    assert (first.type, names(first)) == ("LISTED", ["a"])
    assert [each.type for each in others] == ["MODIFIED", "DELETED"]
    streams = [query for query in server.requests if "watch" in query]
    assert [query["resourceVersion"] for query in streams[:2]] == ["7", "12"]
    assert all(query["allowWatchBookmarks"] == "true" for query in streams)
    assert len([query for query in server.requests if "watch" not in query]) == 1
    assert watcher.is_alive()


def test_a_long_list_is_read_in_pages(server, watch):
    """Two pages are one list."""
    _, take = watch(lists=[listed("a", more="next"), listed("b")])
    (event,) = take(1)
    assert names(event) == ["a", "b"]
    assert [query.get("continue") for query in server.requests[:2]] == [None, "next"]
    assert all(int(query["limit"]) > 0 for query in server.requests[:2])


INTERRUPTIONS = [
    (refused(500), "returned an error (500)"),
    (refused(403), "refused the request (403)"),
    (refused(410), "has expired (410)"),
    (changes(("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})), "(410)"),
    (changes(("ERROR", {"kind": "Status", "status": "Failure", "message": "x"})), "an error (no status)"),
    (HTML, "an invalid response"),
    ((200, b'["x"]\n'), "an invalid response"),
    (changes(("MODIFIED", {"kind": "Pod"})), "an invalid response"),
]


@pytest.mark.parametrize(("answer", "reason"), INTERRUPTIONS)
def test_an_interrupted_watch_is_reported_and_restarted(watch, answer, reason):
    """With the reason and the time of the last contact, here the list."""
    watcher, take = watch(lists=[listed("a"), listed("b")], streams=[answer])
    first, disconnected, again = take(3)
    assert (first.type, disconnected.type, again.type) == ("LISTED", "DISCONNECTED", "LISTED")
    assert reason in disconnected.reason
    assert disconnected.last_contact_s == first.at_s
    assert watcher.is_alive()


@pytest.mark.parametrize("answer", [refused(500), HTML, (200, b"{}"), (200, b'{"metadata": {}, "items": [1]}')])
def test_an_invalid_list_is_requested_again(watch, answer):
    """The watch was disconnected from its start."""
    watcher, take = watch(lists=[answer, listed("a")])
    assert [each.type for each in take(2)] == ["DISCONNECTED", "LISTED"]
    assert watcher.is_alive()


def test_an_unreachable_server_is_reported_before_it_is_back(server, watch):
    """An outage may last to the end of a run."""
    server.close()
    watcher, take = watch()
    assert [each.reason for each in take(2)] == ["the API server did not respond"] * 2
    assert watcher.is_alive()


def test_a_silent_connection_is_dead(monkeypatch, watch):
    """The gap starts at the last contact, not when the timeout was noticed."""
    monkeypatch.setattr(module, "_READ_TIMEOUT_S", 0.2)
    _, take = watch(lists=[listed("a"), listed("a")])
    first, event, _ = take(3)
    assert (event.type, event.reason) == ("DISCONNECTED", "the connection timed out")
    assert event.last_contact_s == first.at_s


def test_the_watch_of_nodes_stops_without_permission(watch):
    """A Role of a namespace does not include nodes."""
    watcher, _ = watch("nodes", lists=[refused(403)])
    watcher.join(WITHIN_S)
    assert not watcher.is_alive()
    assert watcher.stopped


@pytest.mark.parametrize("error", [None, TargetError("the file is empty"), KeyError("users")])
def test_refused_credentials_are_read_again(server, watch, error):
    """An expired token may have been replaced in its file, which may be half-written."""
    server.renew_error = error
    watcher, take = watch(lists=[refused(401), listed("a")])
    assert [each.type for each in take(2)] == ["DISCONNECTED", "LISTED"]
    assert server.renewed == 1
    assert watcher.is_alive()


@pytest.mark.parametrize("forbidden", [[], ["events"]])
def test_only_events_that_a_run_needs_are_watched(server, forbidden):
    """Events of pods, and SuccessfulRescale events of the HPA; none without permission."""
    config = ObserverConfig(namespace="n", workload="w", hpa="h", selector="a=b", model="m", forbidden=forbidden)
    found = {each.source: each.arguments.get("field_selector") for each in watched_resources(server, config)}
    assert found["hpas"] == "metadata.name=h"
    assert found.get("events") == (None if forbidden else "involvedObject.kind=Pod")
    if not forbidden:
        involved = "involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name=h,reason=SuccessfulRescale"
        assert found["rescales"] == involved
    assert ("rescales" in found) == (not forbidden)


@pytest.mark.parametrize(
    ("answer", "renewed_s"),
    [
        ((200, b'{"spec": {"renewTime": "1970-01-01T00:01:40.500000Z"}}'), 100.5),
        ((200, b'{"spec": null}'), None),
        (refused(403), None),
        (HTML, None),
    ],
)
def test_the_last_lease_renewal_of_a_node(server, answer, renewed_s):
    """None where the lease cannot be read."""
    server.lists = [answer]
    assert lease_renewal_s(server, "node-1") == renewed_s
