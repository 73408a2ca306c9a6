"""`--repeats`: one command makes several runs and the reports on all of them.

Needs only loopback; takes half a minute, as the second load starts half a sync period later.
"""

import json

from loadgen.dataset.group import members
from support.runs.locust_bench import Bench


def test_two_repeats_are_a_group(bench: Bench) -> None:
    """Each has a folder with a report, and the group has one, whose verdict is the exit code."""
    code, out, err = bench.run("--repeats", "2", TEST_S="1")
    (group,) = (path for path in bench.run_folders() if not (path / "run.json").exists())
    runs = members(group)
    assert [info.group.number for _, info in runs if info.group] == [1, 2], err
    assert all((folder.path / "report.html").exists() for folder, _ in runs)
    assert out.strip().splitlines()[-1] == str(group.relative_to(bench.folder) / "report.html")
    assert code == {"pass": 0, "fail": 1, "invalid": 3}[json.loads((group / "group.json").read_text())["verdict"]]
    assert "no sync of an autoscaler was observed" in err
    assert "Traceback" not in err
