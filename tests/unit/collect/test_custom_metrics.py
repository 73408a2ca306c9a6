"""Values of pods are read from the custom metrics API over a real connection."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.collect.custom_metrics import number, read


@pytest.fixture
def pages() -> dict[str, bytes]:
    return {}


@pytest.fixture
def url(pages: dict[str, bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response_only(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def values(**pods: str) -> bytes:
    items: list[dict[str, Any]] = [
        {"describedObject": {"kind": "Pod", "name": name}, "value": value, "timestamp": "2026-11-24T12:00:00Z"}
        for name, value in pods.items()
    ]
    return json.dumps({"kind": "MetricValueList", "items": items}).encode()


def test_each_pod_has_its_value_at_the_time_of_the_request(pages: dict[str, bytes], url: str) -> None:
    """The autoscaler would have received the same value at that time."""
    pages["/x"] = values(a="1500m", b="0")
    clock = Clock.start()
    rows = read(f"{url}/x", clock)
    assert [(row.signal, row.pod, row.value) for row in rows] == [
        ("autoscaler_ratio", "a", 1.5),
        ("autoscaler_ratio", "b", 0.0),
    ]
    assert all(0 <= row.t_s <= clock.now_s() for row in rows)


def test_one_bad_item_costs_itself(pages: dict[str, bytes], url: str) -> None:
    """The others are recorded, with names that can be written."""
    items = [*json.loads(values(a="1", b="much"))["items"], {}, 7, *json.loads(values(**{"c\\ud83d": "2"}))["items"]]
    pages["/x"] = json.dumps({"items": items}).encode()
    assert [row.value for row in read(f"{url}/x", Clock.start())] == [1.0, 2.0]


@pytest.mark.parametrize("body", [None, b"", b"no JSON", b'{"items": [{}]}', values(a="much")])
def test_an_invalid_response_is_an_error(pages: dict[str, bytes], url: str, body: bytes | None) -> None:
    """A response that is missing, not JSON, not a list or not a quantity has no values."""
    if body is not None:
        pages["/x"] = body
    with pytest.raises(CollectError, match="the custom metrics API "):
        read(f"{url}/x", Clock.start())


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        *(("0", 0), ("1500m", 1.5), ("12", 12), ("250u", 0.00025), ("3k", 3000), ("-500m", -0.5), ("1.5", 1.5)),
        *(("100u", 0.0001), ("1e3", 1000), ("1Ki", 1024)),
    ],
)
def test_quantities(quantity: str, value: float) -> None:
    """Kubernetes suffixes are factors."""
    assert number(quantity) == pytest.approx(value)
