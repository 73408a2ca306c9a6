"""Prints the table of series recorded on the real controller, and whether the twin agrees.

uv run python tests/support/hpa/table.py [FILE…]      (without files: the recordings in tests/support/hpa/recorded)
"""

import json
import sys
from pathlib import Path
from typing import Any

from support.hpa.replay import closest_call_s, differences

RECORDED = Path(__file__).parent / "recorded"


def read(*files: Path) -> list[dict[str, Any]]:
    """Return all recordings of the files."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def table(recordings: list[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| series | what it shows | syncs | rescales | events | replicas | twin |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for each in recordings:
        decided = [sync["decided"] for sync in each["syncs"]]
        reached = [sync["spec_replicas"] for sync in each["syncs"]]
        found = differences(each)
        lines.append(
            f"| `{each['series']}` | {each['claim']} | {len(decided)} | "
            f"{sum(one['replicas'] is not None for one in decided)} | {sum(len(one['events']) for one in decided)} | "
            f"{reached[0]} → {min(reached)}…{max(reached)} | {f'{len(found)} differences' if found else 'equal'} |"
        )
    syncs = sum(len(each["syncs"]) for each in recordings)
    events = sum(len(sync["decided"]["events"]) for each in recordings for sync in each["syncs"])
    nearest = min(closest_call_s(each) for each in recordings)
    lines += [
        "",
        f"{len(recordings)} series, {syncs} syncs, {events} events; Kubernetes {recordings[0]['kubernetes']}, recorded "
        f"{' and '.join(sorted({each['recorded'] for each in recordings}))}. "
        f"No age was nearer to a window or period than {nearest:.2f} s.",
    ]
    return "\n".join(lines)


def main(*files: str) -> int:
    """Print the table; return 1 if the twin differs in any series."""
    recordings = read(*([Path(file) for file in files] or sorted(RECORDED.glob("*.jsonl"))))
    found = [each for recording in recordings for each in differences(recording)]
    sys.stdout.write(table(recordings) + "\n" + "".join(f"\n{each}\n" for each in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
