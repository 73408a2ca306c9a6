"""Runs of the local stack for tests: a run folder with its scenario, and what a stack leaves on the machine."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo, ValidityLimits
from loadgen.local.leftovers import SHARED_MEMORY, prefix
from loadgen.scenario.fleets import Local
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

FOUR_PLACES = str(Path(__file__).with_name("four_places.yaml"))
"""An engine profile whose places the tests can count on, whatever becomes of the demo's."""


def run_folder(runs: Path, local: Local) -> RunFolder:
    """A new run folder whose `run.json` asks for this local stack; with the engine of four places if it names none."""
    if "profile" not in local.model_fields_set:
        local = local.model_copy(update={"profile": FOUR_PLACES})
    scenario = Scenario(name="stack", load=Constant(per_s=1, duration_s=60), local=local)
    clock = Clock.start()
    folder = RunFolder.create(runs, scenario.name, clock)
    folder.write_info(
        RunInfo(
            run_id=folder.path.name,
            scenario=scenario.name,
            anchor_unix_s=clock.anchor_unix_s,
            anchor_monotonic_s=clock.anchor_monotonic_s,
            target="local",
            protocol="grpc",
            stream=True,
            validity=ValidityLimits(send_lag_p99_s=1, scrape_gap_s=5, min_samples=1),
            settings=scenario.model_dump(mode="json"),
        )
    )
    return folder


def eventually(condition: Callable[[], Any], *, within_s: float = 60.0, of: str = "it") -> Any:
    """The condition's value, as soon as it is true."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{of} did not happen within {within_s:g} s"
        time.sleep(0.05)


def journal(folder: RunFolder, *kinds: str, pod: str | None = None) -> list[dict[str, Any]]:
    """Events of the stack's journal, of these kinds and this replica where they are given."""
    file = folder.path / "stack" / "journal.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [event for event in events if (not kinds or event["kind"] in kinds) and (pod is None or event["pod"] == pod)]


def processes_of(folder: RunFolder, supervisor: int) -> list[psutil.Process]:
    """Every living process of a stack: those of its supervisor's tree, and those that name its folders."""
    found = {}
    marks = (str(folder.path), prefix(supervisor))
    for process in psutil.process_iter():
        try:
            named = any(mark in part for part in process.cmdline() for mark in marks)
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process
        except psutil.Error:
            continue
    return list(found.values())


def left_on_disk(supervisor: int) -> list[Path]:
    """Shared memory and temporary folders of the stack with this supervisor."""
    places = (SHARED_MEMORY, Path(tempfile.gettempdir()))
    return [path for place in places for path in place.glob(f"{prefix(supervisor)}*")]
