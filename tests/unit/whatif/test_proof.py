"""The program that compares predictions with real runs, on synthetic runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import whatif_proof
from support.runs.synthetic import PLANS, write


def test_the_table_has_a_row_for_each_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of finished runs predicted and real values, and that a run is missing; nothing is run for it."""
    plan = replace(PLANS["failing"], ratio_target=0.15, peak_per_s=6.0)
    fewer = next(case for case in whatif_proof.CASES if case.local.get("replicas") == (1, 2))
    for case, own in ((whatif_proof.BASE, plan), (fewer, replace(plan, replicas=(1, 2)))):
        write(whatif_proof.cases_folder(tmp_path, case), own)
    monkeypatch.setattr("sys.argv", ["whatif_proof.py", "local", "--table", "--runs", str(tmp_path)])
    assert whatif_proof.main() == 0
    first, _, head, rule, *rows = capsys.readouterr().out.splitlines()
    assert "requests; a replica computes 4 at a time" in first
    assert {line.count("|") for line in (head, rule, *rows)} == {10}
    assert len(rows) == 1 + len(whatif_proof.CASES)
    assert sum("not run" in row for row in rows) == len(whatif_proof.CASES) - 1
    (base,) = [row for row in rows if row.startswith("| base |")]
    assert base.startswith("| base | 0.0% | 0.0% |")
    # a run that predicts itself has the same errors with its own start-up
    cells = [each.strip() for each in base.strip("|").split("|")]
    assert cells[-1] == ", ".join(each.split("(")[1].rstrip(")") for each in (cells[4], cells[6]))
    low_s, high_s = (float(each) for each in cells[7].removesuffix(" s").split(" … "))
    assert low_s < high_s


def test_without_a_base_run_there_is_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupted run is none."""
    write(whatif_proof.cases_folder(tmp_path, whatif_proof.BASE), PLANS["interrupted"])
    monkeypatch.setattr("sys.argv", ["whatif_proof.py", "local", "--table", "--runs", str(tmp_path)])
    whatif_proof.main()
    assert capsys.readouterr().out == "no base run\n"
