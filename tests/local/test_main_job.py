"""A whole run with real components: Locust, Triton, Prometheus, gateway, autoscaler, collector and reports."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import psutil
import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.local.leftovers import SHARED_MEMORY

LOCUST = str(Path(sys.executable).with_name("locust"))
LOCUSTFILE = Path(__file__).parents[1] / "support/runs/short_wave.py"

# all tests of this file share one run; on a fresh machine it first downloads the programs of the stack
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: output, exit code and run folder of the command."""

    code: int
    out: str
    err: str
    folder: RunFolder
    peak_rss_bytes: int

    @property
    def analysis(self) -> dict[str, Any]:
        analysis: dict[str, Any] = json.loads((self.folder.path / "analysis.json").read_text())
        return analysis

    def events(self, *kinds: str) -> pd.DataFrame:
        events = self.folder.read("events")
        return events[events.kind.isin(kinds)].sort_values("t_s")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    runs = tmp_path_factory.mktemp("main-job")
    out, err = runs / "stdout", runs / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [LOCUST, "-f", str(LOCUSTFILE), "--headless"],
            env={**os.environ, "LOADGEN_RUNS_DIR": str(runs)},
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(rss_bytes, tree_of(process.pid))))
        time.sleep(1)
    (folder,) = (path for path in runs.iterdir() if path.is_dir())
    return FinishedRun(process.returncode, out.read_text(), err.read_text(), RunFolder(folder), peak)


def tree_of(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def test_the_run_ends_with_a_verdict_and_the_path_of_the_report(done: FinishedRun) -> None:
    """The command exits with the code of its verdict, and its last line is the path of the HTML report."""
    assert done.code == {"pass": 0, "fail": 1, "invalid": 3}[done.analysis["verdict"]], done.err
    assert done.analysis["verdict"] != "invalid", done.out
    assert done.out.strip().splitlines()[-1] == str(done.folder.path / "report.html")
    assert "Traceback" not in done.err


def test_every_arrival_has_a_row(done: FinishedRun) -> None:
    """Every scheduled arrival has one row, and more than 99 % of the requests succeed."""
    rows = done.folder.read("requests").sort_values("request_id")
    assert rows.request_id.to_list() == list(range(len(rows)))
    assert len(rows) > 100
    assert (rows.outcome == "ok").mean() > 0.99, rows.groupby(["outcome", "cause"]).size()
    assert (rows.output_tokens[rows.outcome == "ok"] == rows.max_tokens[rows.outcome == "ok"]).all()
    assert set(rows.token_source[rows.outcome == "ok"]) == {"server"}
    assert done.analysis["output_unit"] == "tokens"


def test_every_answer_has_the_times_of_the_engine_and_its_replica(done: FinishedRun) -> None:
    """Each replica that answered is one of the fleet; the engine's times fit between sending and last token."""
    rows = done.folder.read("requests")
    rows = rows[rows.outcome == "ok"]
    assert set(rows.pod) <= set(done.events("replica_ready").pod)
    assert rows.pod.nunique() >= 2
    times = rows[["engine_queue_s", "engine_prefill_s", "engine_decode_s"]]
    assert (times >= 0).all(axis=None)
    assert (times.sum(axis=1) <= rows.last_token_s - rows.sent_s).all()


def test_the_fleet_follows_the_wave(done: FinishedRun) -> None:
    """The autoscaler scales up to at least two replicas and back to one."""
    desired = [json.loads(data)["after"] for data in done.events("hpa_rescale").data]
    assert max(desired) >= 2
    assert desired[-1] == 1
    assert len(done.events("replica_ready")) >= 2


def test_a_scaling_event_has_all_its_times(done: FinishedRun) -> None:
    """At least one scale-up has every time from the load step to the first served request.

    All but the load step, which follows an early scale-up, are in order. Whether latency recovers before this short
    load ends depends on the machine, so that time is not asserted.
    """
    steps = ("trigger_s", "over_target_s", "decided_s", "created_s", "scheduled_s", "started_s", "ready_s", "serving_s")
    ups = [event for event in done.analysis["scaling"] if event["direction"] == "up"]
    complete = [event for event in ups if all(event[step] is not None for step in steps)]
    assert complete, [event["missing"] for event in ups]
    for event in complete:
        times = [event[step] for step in steps[1:]]
        assert times == sorted(times)


def test_every_sync_has_the_rule_that_determined_it(done: FinishedRun) -> None:
    """All that the HPA twin read is recorded: the replay gives every sync and every decision again."""
    audit, syncs = done.analysis["audit"], done.events("hpa_sync")
    assert (audit["source"], audit["syncs"], audit["inferred"]) == ("inputs", len(syncs), 0)
    assert (audit["undetermined"], audit["mismatch_count"]) == (0, 0), audit["mismatches"]
    changes = [json.loads(data) for data in done.events("hpa_rescale").data]
    decided = [(each["sync"]["before"], each["sync"]["after"]) for each in audit["decisions"]]
    assert decided == [(each["before"], each["after"]) for each in changes]


def test_the_recorded_ratio_matches_the_raw_counters(done: FinishedRun) -> None:
    """The ratio exceeds its target, and the values of Prometheus agree with the raw counters of the replicas."""
    ratio = done.folder.read("samples").query("signal == 'ratio'")
    assert ratio.value.max() > 0.2
    assert not [finding for finding in done.analysis["findings"] if finding["code"] == "signal.untrue"]


def test_all_reports_have_the_same_verdict(done: FinishedRun) -> None:
    """HTML, Markdown, JUnit and figures are written, and the reports have the same verdict."""
    verdict = done.analysis["verdict"].upper()
    assert verdict in (done.folder.path / "report.html").read_text()
    assert verdict in (done.folder.path / "report.md").read_text()
    suite = ElementTree.parse(done.folder.path / "junit.xml").getroot()
    failed = suite.findall(".//failure") + suite.findall(".//error")
    assert bool(failed) == (verdict != "PASS")
    assert len(list((done.folder.path / "figures").glob("*.png"))) >= 5


def test_reports_disclose_emulation(done: FinishedRun) -> None:
    """The reports disclose what is emulated and which durations are shorter than in production."""
    for name in ("report.html", "report.md"):
        text = (done.folder.path / name).read_text()
        assert "emulated" in text
        assert "scale-down stabilization window" in text


def test_the_stack_is_small(done: FinishedRun) -> None:
    """Locust and the whole stack use less than 4 GiB, with shared pages counted for every process."""
    assert 0 < done.peak_rss_bytes < 4 * 2**30


def test_nothing_is_left_behind(done: FinishedRun) -> None:
    """After the run no process has its run folder in its command line, and no shared memory of a dead stack remains."""
    processes = [
        process.info
        for process in psutil.process_iter(["pid", "cmdline"])
        if any(str(done.folder.path) in part for part in process.info["cmdline"] or ())
    ]
    assert processes == []
    owners = [re.match(r"loadgen-(\d+)-", path.name) for path in SHARED_MEMORY.iterdir()]
    assert [owner[0] for owner in owners if owner and not psutil.pid_exists(int(owner[1]))] == []
