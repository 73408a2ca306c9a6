"""Raw signals are read from a replica's /metrics, also when the server misbehaves."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.collect.raw import RawReader, fetch, parse
from loadgen.collect.scrape_targets import Replica
from support.servers.metrics import MODEL, FakeReplica, page


def test_values_are_those_of_the_model_under_test() -> None:
    """The times of other models are apart, failures are summed over their reasons."""
    assert parse(page(4), MODEL) == {
        "raw_success": 4.0,
        "raw_queue_us": 400.0,
        "raw_compute_us": 200.0,
        "raw_other_queue_us": 28.0,  # 4 other models with 7 each
        "raw_other_compute_us": 36.0,
        "raw_failure": 3.0,  # 1 rejected + 2 of the backend
        "raw_pending": 2.0,
    }


def test_versions_and_instances_of_the_model_are_summed() -> None:
    """Two versions, one on two GPUs, are one counter of the model."""
    text = (
        'nv_inference_queue_duration_us{model="m",version="1",gpu_uuid="G1"} 10\n'
        'nv_inference_queue_duration_us{model="m",version="1",gpu_uuid="G2"} 20\n'
        'nv_inference_queue_duration_us{gpu_uuid="G1",model="m",version="2"} 1.2e2\n'
    )
    assert parse(text, "m") == {"raw_queue_us": 150.0}


def test_a_page_with_other_models_only_is_an_error() -> None:
    """The counters of others do not hide that those of the model under test are missing."""
    with pytest.raises(CollectError, match="no counters of model another"):
        parse('nv_inference_queue_duration_us{model="m",version="1"} 10\n', "another")


def test_a_missing_metric_has_no_value() -> None:
    """An older server without the pending count yields no pending value, and not 0."""
    text = "\n".join(line for line in page(1).split("\n") if "pending" not in line)
    assert "raw_pending" not in parse(text, MODEL)


def test_a_label_may_hold_any_text() -> None:
    """Braces, commas, escaped quotes and line separators inside a label are part of the label."""
    text = 'nv_inference_request_success{model="m",tag="a}\\",{ \u2028 \\n"} 3\n'
    assert parse(text, "m") == {"raw_success": 3.0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>not found</html>\n",
        page(1).replace(MODEL, "another"),
        f'nv_inference_request_success{{model="{MODEL}"}}\n',
        f'nv_inference_request_success{{model="{MODEL}}} 3\n',
        f'nv_inference_request_success{{model="{MODEL}"}} NaN\n',
    ],
)
def test_a_page_without_the_models_counters_is_an_error(text: str) -> None:
    """An empty page, another server's, another model's and a malformed page are errors and not an idle model."""
    with pytest.raises(CollectError):
        parse(text, MODEL)


def test_a_malformed_line_costs_its_signal_only() -> None:
    """A sum without that line would be too small; the other signals are read."""
    text = page(7)
    broken = text + f'nv_inference_request_success{{model="{MODEL}",version="2"}} many\n'
    assert parse(text, MODEL).keys() - parse(broken, MODEL).keys() == {"raw_success"}


def test_a_page_with_too_many_lines_is_an_error() -> None:
    """Parsing it would delay the other replicas."""
    with pytest.raises(CollectError, match="the page has 10001 lines of Triton's metrics, more than 10000"):
        parse('nv_inference_request_success{model="m"} 1\n' * 10_001, "m")


@given(rest=st.text(st.sampled_from('{}"=,\\ \t1ae_mod#.')))
def test_no_page_breaks_the_reader(rest: str) -> None:
    """Any text on a line of a collected metric is a value or an error of this page."""
    with suppress(CollectError):
        assert parse(f"nv_inference_request_success{rest}\n", "m").keys() <= {"raw_success"}


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(TimeoutError):
                connection.settimeout(10)
                connection.recv(1 << 16)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/metrics"
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na_total 12\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na_total 12",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\na_total 12\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n1\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
def test_an_incomplete_or_invalid_page_is_an_error(answer: bytes) -> None:
    """A body that ends early is never read as a smaller counter: 12 may have been 12345."""
    with raw_server(lambda connection: connection.sendall(answer)) as url, pytest.raises((HTTPException, OSError)):
        fetch(url, timeout_s=5.0)


def test_a_page_may_be_chunked() -> None:
    """A chunked response is one page."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n1\r\n\n\r\n0\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(answer)) as url:
        assert fetch(url, timeout_s=5.0) == "a 1\n"


def test_slow_headers_time_out() -> None:
    """Every byte of them arrives in time."""
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        with suppress(OSError):
            while not done.wait(0.05):
                connection.sendall(b"a")

    with raw_server(drip) as url:
        with pytest.raises((HTTPException, OSError)):
            fetch(url, timeout_s=0.3)
        done.set()


def test_a_slow_response_times_out() -> None:
    """The timeout applies to the whole page and not to each of its bytes."""
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not done.wait(0.05):
                connection.sendall(b"a")
        except OSError:
            pass

    with raw_server(drip) as url:
        with pytest.raises(TimeoutError, match="the response is incomplete after"):
            fetch(url, timeout_s=0.3)
        done.set()


def test_a_rejected_response_closes_its_connection() -> None:
    """The connection is closed at once, even while a reference to the error exists."""
    hung_up = threading.Event()

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 9\r\n\r\n")
        while connection.recv(4096):
            pass
        hung_up.set()

    with raw_server(refuse) as url:
        with pytest.raises(HTTPException) as kept:
            fetch(url, timeout_s=5.0)
        assert hung_up.wait(5.0), kept


def test_a_hanging_replica_does_not_delay_the_others() -> None:
    """While one replica never answers, the others are read in every pass, and it has only one request in flight."""
    clock = Clock.start()
    reader = RawReader(clock)
    with FakeReplica("good") as good, FakeReplica("bad") as bad:
        bad.hanging.set()
        replicas = [Replica(name=r.name, metrics=f"http://{r.address}/metrics", ready=True) for r in (bad, good)]
        answers = [reader.read(replicas, MODEL) for _ in range(3)]
        bad.released.set()
    reader.close()
    for reads, answer in enumerate(answers, start=1):
        rows = answer["good"]
        assert isinstance(rows, list)
        assert {row.signal: row.value for row in rows}["raw_success"] == reads
        assert isinstance(answer["bad"], CollectError)
    assert bad.reads <= len(answers)


def test_counters_of_the_llm_api_model_are_preferred() -> None:
    """Where the page has the model's own counters they replace Triton's, which cannot see its queue."""
    text = (
        'nv_inference_queue_duration_us{model="m",version="1"} 7\n'
        'nv_inference_compute_infer_duration_us{model="m",version="1"} 9\n'
        'nv_inference_pending_request_count{model="m",version="1"} 0\n'
        'llmapi_queue_duration_us{model="m",version="1"} 70\n'
        'llmapi_compute_duration_us{model="m",version="1"} 90\n'
        'llmapi_requests{model="m",state="running"} 8\n'
        'llmapi_requests{model="m",state="waiting"} 3\n'
        'llmapi_queue_duration_us{model="other",version="1"} 1000\n'
    )
    assert parse(text, "m") == {"raw_queue_us": 70.0, "raw_compute_us": 90.0, "raw_pending": 3.0}
