"""The share of one process: it always reports when it is closed, and turns exceptions into messages."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

from loadgen.base.clock import Clock
from loadgen.dataset import outage
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo, ValidityLimits
from loadgen.load import share as share_module
from loadgen.load.host import Host
from loadgen.load.sender import Sender
from loadgen.load.share import REFERENCE_MODEL, Assignment, LoadShare
from loadgen.protocols.answer import Answer
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=50, duration_s=0.1), arrivals="even", request_timeout_s=5)


class Overflowing:
    """A hand-written endpoint whose server counts more tokens than a column can hold."""

    protocol = "grpc"
    client = "reference"

    def connect(self, model: object, *, stream: bool) -> "Overflowing":
        return self

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        now = time.monotonic()
        return Answer(outcome="ok", last=now, ended=now, output_tokens=2**40)

    def close(self) -> None:
        pass


class Answering(Overflowing):
    """A hand-written endpoint that answers every request."""

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        now = time.monotonic()
        return Answer(outcome="ok", token_times=[now], last=now, ended=now, output_tokens=1)


def share_to(endpoint: Any, path: Path) -> LoadShare:
    clock = Clock.start()
    info = RunInfo(
        run_id="x",
        scenario="x",
        anchor_unix_s=clock.anchor_unix_s,
        anchor_monotonic_s=clock.anchor_monotonic_s,
        target="grpc://127.0.0.1:1",
        protocol="grpc",
        stream=True,
        validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
        settings=SCENARIO.model_dump(mode="json"),
    )
    RunFolder(path).write_info(info)
    assignment = Assignment(
        folder=str(path),
        master=Host.here(),
        endpoint=endpoint,
        model=REFERENCE_MODEL,
        stream=True,
        reference=Endpoint(address="127.0.0.1:1", protocol="grpc"),
        worker=0,
        workers=1,
        has_users=True,
    )
    return LoadShare(assignment, lambda arrival, due, answer: None)


def test_closed_before_the_load(tmp_path: Path) -> None:
    """A share whose run ended before the load has nothing to write, and is closed immediately."""
    share = share_to(Endpoint(address="127.0.0.1:1", protocol="grpc"), tmp_path)
    assert not share.counts().closed
    share.close()
    assert share.counts().closed
    assert share.counts().error is None


def test_slow_imports_happen_before_the_load(tmp_path: Path) -> None:
    """pyarrow imports pandas for its first table, which takes a second: the share does it before the load starts."""
    code = (
        f"import sys; from pathlib import Path; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from test_share import Overflowing, share_to\n"
        f"before = 'pandas' in sys.modules; share_to(Overflowing(), Path({str(tmp_path)!r}))\n"
        f"print(before, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False True\n"


def send_all(share: LoadShare) -> None:
    share.start(0.0)
    assert isinstance(share.sender, Sender)
    while share.sender.send_next():
        gevent.sleep(0)
    share.close()
    assert share.counts().closed


def test_the_process_is_sampled_while_it_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample has the number of the process, and a time on the axis of the run; none comes after the end."""
    monkeypatch.setattr(share_module, "PERIOD_S", 0.001)
    share = share_to(Answering(), tmp_path)
    sampled = gevent.event.Event()
    record = share._recorder.record_samples

    def recorded(rows: list[dict[str, Any]]) -> None:
        record(rows)
        sampled.set()

    monkeypatch.setattr(share._recorder, "record_samples", recorded)
    begin_s = share._clock.at_monotonic(time.monotonic())
    share.start(0.0)
    assert sampled.wait(10)
    send_all(share)
    end_s = share._clock.at_monotonic(time.monotonic())
    rows = RunFolder(tmp_path).read("samples")
    assert set(rows.pod) == {"load0"}
    assert {"generator_cpu_s", "generator_loop_lag_s"} <= set(rows.signal)
    assert rows.t_s.between(begin_s, end_s).all()
    assert (rows[rows.signal == "generator_cpu_s"].value > 0).all()


def test_a_value_that_cannot_be_written_costs_no_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A count beyond the range of its column is null in its row, named in the log, and counted by its cause."""
    share = share_to(Overflowing(), tmp_path)
    send_all(share)
    assert share.counts().error is None
    rows = RunFolder(tmp_path).read("requests")
    assert list(rows.request_id) == [0, 1, 2, 3, 4]
    assert rows.output_tokens.isna().all()
    assert set(zip(rows.outcome, rows.cause, strict=True)) == {("ok", "not recordable")}
    assert "request 4: output_tokens cannot be written" in caplog.text


def test_an_unexpected_exception_is_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug while the rows are written ends the run with a message and a traceback, and the share closes."""

    def append(*_: object) -> None:
        raise RuntimeError("a bug")

    share = share_to(Overflowing(), tmp_path)
    monkeypatch.setattr(RunFolder, "append", append)
    send_all(share)
    error = share.counts().error
    assert error
    assert "please report it" in error
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("stays_full", [False, True])
def test_a_full_disk(stays_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share waits for space when it closes; if the disk stays full, its error ends the run."""
    monkeypatch.setattr(outage, "FULL_DISK_S", 0.2 if stays_full else 30.0)
    monkeypatch.setattr(share_module, "_RETRY_S", 0.05)
    share = share_to(Answering(), tmp_path)
    blocked = tmp_path / "requests"
    blocked.write_text("")  # a file in place of the folder, as root ignores permissions and quotas
    share.start(0.0)
    assert isinstance(share.sender, Sender)
    while share.sender.send_next():
        gevent.sleep(0)
    if not stays_full:
        gevent.spawn_later(0.1, blocked.unlink)
    share.close()
    counts = share.counts()
    assert counts.closed
    if stays_full:
        assert counts.error
        assert "cannot record requests in" in counts.error
        assert "the data recorded before is kept" in counts.error
    else:
        assert counts.error is None
        assert len(RunFolder(tmp_path).read("requests")) == counts.total
        assert RunFolder(tmp_path).read("events").kind.to_list() == ["recording_delayed"]
