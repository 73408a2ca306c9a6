"""Finds the runs of a group: the run folders beside its own folder whose `run.json` names it."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from loadgen.base.errors import DatasetError, RecordError
from loadgen.base.files import disk_problem
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo


def create_group(runs: Path) -> Path:
    """Make the folder of a new group, for its reports; its name is the group's id.

    Raises:
        RecordError: the folder cannot be written.
    """
    path = runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-group-{uuid4().hex[:8]}"
    try:
        path.mkdir(mode=0o700, parents=True)
    except OSError as error:
        reason, advice = disk_problem(error, runs)
        raise RecordError(
            f"cannot create the folder {path}: {reason}; {advice}, or set LOADGEN_RUNS_DIR to another folder"
        ) from error
    return path


def members(group: Path) -> list[tuple[RunFolder, RunInfo]]:
    """The runs of a group, in order of their numbers; none if the folder is not that of a group.

    Args:
        group: The folder of the group; it need not exist.
    """
    name, found = group.absolute().name, []
    for file in group.absolute().parent.glob("*/run.json"):
        folder = RunFolder(file.parent)
        with suppress(DatasetError):  # a damaged folder beside it may be of any run
            info = folder.read_info()
            if info.group is not None and info.group.id == name:
                found.append((folder, info))
    return sorted(found, key=lambda each: (_number(each[1]), each[0].path.name))


def _number(info: RunInfo) -> int:
    return info.group.number if info.group else 0
