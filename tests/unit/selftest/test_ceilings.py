"""The results of the self-test: kept for this machine and version, and compared with the rate of a scenario."""

import json
from pathlib import Path

import pytest

from loadgen.selftest import ceilings
from loadgen.selftest.ceilings import Ceilings, last, remark, save

PLAIN = {
    "http_requests_per_s": 9000.0,
    "grpc_requests_per_s": 6000.0,
    "http_streams": 1000,
    "grpc_streams": 2000,
    "http_tokens_per_s": 39_500.0,
    "grpc_tokens_per_s": 79_000.0,
    "tls_connections_per_s": 500.0,
    "schedule_error_p99_s": 0.00021,
}
GATEWAY = {"http_requests_per_s": 8000.0, "grpc_requests_per_s": 4000.0, "http_streams": 500, "grpc_streams": 1000}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_last_result_is_kept() -> None:
    """What was saved comes back, and without a file there is none."""
    assert last() is None
    measured = Ceilings.of(PLAIN, GATEWAY)
    save(measured)
    assert last() == measured


def test_results_of_another_machine_or_version_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder can be shared by machines, and another version can be faster."""
    save(Ceilings.of(PLAIN, GATEWAY))
    monkeypatch.setattr(ceilings, "_machine", lambda: "another")
    assert last() is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", json.dumps({"machine": "x"})])
def test_a_file_that_is_no_result(content: str) -> None:
    """A damaged or older file counts as none."""
    save(Ceilings.of(PLAIN, GATEWAY))
    (ceilings.cache_dir() / "selftest.json").write_text(content)
    assert last() is None


def test_table() -> None:
    """Each number once, and beside it the one with changing headers."""
    lines = Ceilings.of(PLAIN, GATEWAY).text().splitlines()
    assert [line.split("  ")[0] for line in lines[1:-1]] == [
        "HTTP requests per second",
        "gRPC requests per second",
        "HTTP streams of 40 tokens per second",
        "gRPC streams of 40 tokens per second",
        "TLS connections per second",
        "lateness of requests at 1,000 per second, p99",
    ]
    assert lines[2].split()[-2:] == ["6,000", "4,000"]
    assert lines[-2].endswith("0.21 ms")


@pytest.mark.parametrize(
    ("protocol", "rate_per_s", "processes", "sentence"),
    [
        ("grpc", 4200, 1, ""),  # 70 % of 6,000
        ("grpc", 4201, 1, "70% of what 1 process of this machine can send"),
        ("http", 4201, 1, ""),
        ("grpc", 9000, 2, "75% of what 2 processes of this machine can send"),
    ],
)
def test_a_load_near_the_ceiling(protocol: str, rate_per_s: float, processes: int, sentence: str) -> None:
    """Above 70 % of the ceiling, a sentence says so before the load begins."""
    said = remark(Ceilings.of(PLAIN, GATEWAY), protocol, rate_per_s, processes)
    assert sentence in said
    assert bool(said) == bool(sentence)


def test_without_a_result() -> None:
    """The sentence names the command."""
    assert "`loadgen selftest`" in remark(None, "grpc", 1.0, 1)
