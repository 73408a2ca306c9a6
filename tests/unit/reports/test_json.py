"""`analysis.json` and the Parquet files beside it."""

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from loadgen_reports.formats import json as machine
from loadgen_reports.write import write_reports

from loadgen.analyze.results import Analysis
from loadgen.dataset.run_info import ClusterInfo
from support.runs.synthetic import SAMPLES, finding, sample

EARLIER = Path(__file__).parents[2] / "golden/run-of-0.1.0"


def test_json_is_the_analysis(failing: Analysis, tmp_path: Path) -> None:
    """Read back, the files hold every field in its order, with null where a value is missing."""
    write_reports(failing, tmp_path, formats=["json"])
    document = machine.read(tmp_path)
    expected = asdict(failing)
    assert list(document) == ["schema_version", *expected]
    assert set(document["timeline"]) == set(expected["timeline"])
    assert document["whole"] == expected["whole"]
    assert document["timeline"]["ready"] == list(failing.timeline.ready)
    gaps = [value is None for value in document["timeline"]["ttft_p95_s"]]
    assert gaps == [math.isnan(value) for value in failing.timeline.ttft_p95_s]
    assert any(gaps)
    for pod, series in failing.timeline.ratio_by_pod.items():
        assert document["timeline"]["ratio_by_pod"][pod] == [None if math.isnan(value) else value for value in series]


def test_json_of_an_earlier_version_is_read_as_it_is() -> None:
    """In version 1 the series were inside."""
    document = machine.read(EARLIER)
    assert document["schema_version"] == 1
    assert len(document["timeline"]["t_s"]) == len(document["timeline"]["ready"]) > 60


def test_rows_beyond_a_hundred_are_in_parquet(failing: Analysis, tmp_path: Path) -> None:
    """The first hundred are in both; a later analysis with fewer rows deletes the file."""
    groups = tuple(replace(failing.whole, name=f"{n} replicas", start_s=math.inf) for n in range(250))
    write_reports(replace(failing, by_replicas=groups), tmp_path, formats=["json"])
    text = json.loads((tmp_path / "analysis.json").read_text())
    assert [row["name"] for row in text["by_replicas"]] == [row.name for row in groups[:100]]
    assert text["tables"]["by_replicas"] == {"rows": 250, "file": "analysis/by_replicas.parquet"}
    document = machine.read(tmp_path)
    assert document["by_replicas"][:100] == text["by_replicas"]
    assert [row["name"] for row in document["by_replicas"]] == [row.name for row in groups]
    write_reports(failing, tmp_path, formats=["json"])
    assert {each.name for each in (tmp_path / "analysis").iterdir()} == {
        "timeline.parquet",
        "timeline.ratio_by_pod.parquet",
    }
    assert len(machine.read(tmp_path)["by_replicas"]) == len(failing.by_replicas)


def test_the_size_of_json_is_bounded(failing: Analysis) -> None:
    """300 replicas for 6 hours, in the most bins that these may have, with every table as long as that allows."""
    line = failing.timeline
    longer = {
        each.name: (0.123456789012345,) * 6_000 for each in fields(line) if each.name not in ("bin_s", "ratio_by_pod")
    }
    pods = {f"triton-7d9c5b6f4-{n:05d}": longer["ratio"] for n in range(300)}
    attained = failing.attainment
    assert attained is not None
    run = replace(
        failing,
        timeline=replace(line, **longer, ratio_by_pod=pods),
        attainment=replace(attained, windows=attained.windows[:1] * 2_000),
        by_replicas=(failing.whole,) * 300,
        stages=(failing.whole,) * 300,
        scaling=failing.scaling[:1] * 1_000,
        marks=failing.marks[:1] * 5_000,
        audit=replace(failing.audit, decisions=failing.audit.decisions[:1] * 1_440),
    )
    assert len(machine.render(run)) < 2_000_000


def test_json_of_a_cluster_names_kind_and_workload_in_one_field(failing: Analysis) -> None:
    """The fields of `run.cluster` in analysis.json are those of its schema, in their order."""
    cluster = ClusterInfo(
        kind="Deployment",
        workload="triton",
        namespace="llm",
        context="prod",
        endpoint="ingress 10.96.0.7:80",
        balances="requests",
    )
    read = json.loads(machine.render(replace(failing, run=replace(failing.run, cluster=cluster))))
    assert list(read["run"]["cluster"].items()) == [
        ("workload", "Deployment triton"),
        ("namespace", "llm"),
        ("context", "prod"),
        ("hpa", None),
        ("service", None),
        ("endpoint", "ingress 10.96.0.7:80"),
        ("balances", "requests"),
        ("lacking", []),
        ("assumed", []),
        ("skew_s", {}),
        ("skew_error_s", {}),
    ]


def test_json_is_strict(failing: Analysis) -> None:
    """NaN becomes null and infinity a string, so that every parser can read the file."""
    run = replace(failing, findings=(finding("slo.x", math.inf, math.nan),))

    def refuse(token: str) -> None:
        raise AssertionError(token)

    read = json.loads(machine.render(run), parse_constant=refuse)
    assert (read["findings"][0]["measured"], read["findings"][0]["limit"]) == ("Infinity", None)


@pytest.mark.parametrize("name", SAMPLES)
def test_json_of_every_sample_can_be_read(name: str) -> None:
    """Every kind of run, without any data as well, gives a valid file with one line for each series."""
    text = machine.render(sample(name))
    read = json.loads(text)
    assert text.encode("ascii")
    groups = len(read["stages"]) + len(read["by_replicas"]) + 1
    audit = 22 * len(read["audit"]["spans"]) + 120 * len(read["audit"]["decisions"])
    chains = 30 * len(read["chains"])
    bound = 300 + 12 * len(read["marks"]) + 25 * len(read["scaling"]) + audit + chains + 130 * groups
    assert len(text.splitlines()) < bound
