"""Inputs that fuzzing found: each ended in a foreign exception, in too much work or in an unreadable message."""

import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import requests

from loadgen.analyze.read import analyze_folder
from loadgen.archive.store import Store
from loadgen.base.checked import Settings
from loadgen.base.errors import CollectError, DatasetError, SettingsError, StackError, TargetError
from loadgen.collect.raw import parse
from loadgen.collect.scrape_targets import StackTargets
from loadgen.collect.signals import RecordingRule
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import StackFolder
from loadgen.kube.client.response import Response, error_message, parse_date
from loadgen.kube.deploy.values import parse_set
from loadgen.kube.discover.prometheus import RuleTiming, query, rule_timing, scrape_interval_s, server_time_s
from loadgen.kube.observe.watches import renew_time_s
from loadgen.local.autoscaler import adapter_answer
from loadgen.local.gateway import routes_in
from loadgen.local.prometheus import replicas_in
from loadgen.local.triton import pending_requests
from loadgen.programs.manifest import MANIFEST, changed_since_installed, damaged_file, incomplete_program
from loadgen.protocols.inputs import require_all
from loadgen.protocols.tensors import Tensor
from loadgen.scenario.settings import Scenario
from support.fuzz.metrics import INFO

DEEP = b"[" * 100_000


def test_an_example_of_a_tensor_with_many_dimensions_is_short() -> None:
    """A shape of twenty eights would make a row of 8^20 elements."""
    declared = {
        "x": Tensor(name="x", datatype="INT32", shape=(8,) * 20),
        "y": Tensor(name="y", datatype="INT32", shape=(8,) * 8),
    }
    with pytest.raises(TargetError, match="requires inputs") as raised:
        require_all("m", declared, (), (), batched=False)
    assert len(str(raised.value)) < 1500


@pytest.mark.parametrize(
    "body",
    [DEEP, b"null", b'{"data": null}', b'{"data": {"result": [{"value": [1, "1e999"]}]}}', b'{"loadBalancer": 1}'],
)
def test_the_local_stack_reads_any_answer(body: bytes) -> None:
    """An answer that is not what was asked for counts as none."""
    assert replicas_in(body) == 0
    assert routes_in(body) is None
    adapter_answer(body)


def test_a_metrics_page_that_is_none_is_quoted_in_part() -> None:
    """The library's message has the whole line."""
    with pytest.raises(CollectError, match="not a metrics page") as raised:
        parse('nv_inference_queue_duration_us{model="m",v' + "[" * 100_000 + "} 1\n", "m")
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("value", ["NaN", "+Inf", "x"])
def test_a_queue_that_is_not_a_number_is_unknown(value: str) -> None:
    """Triton writes numbers; something else may answer at its port."""
    assert pending_requests(f'nv_inference_pending_request_count{{model="m"}} {value}\n', "m") is None


@pytest.mark.parametrize(
    "answer", [None, [], {"result": []}, {"result": [0, "NaN"]}, {"result": [0, None]}, {"result": {}}]
)
def test_a_time_of_prometheus_that_is_none(answer: Any) -> None:
    """One sentence instead of an exception of the language."""
    with pytest.raises(StackError, match="the query time"):
        server_time_s(answer)


def test_rules_and_targets_of_other_types() -> None:
    """Each part of an answer that cannot be read costs itself."""
    good = {"interval": 15, "rules": [{"name": "r", "query": "rate(x[1m])"}]}
    for bad in (None, 1, {"rules": 1}, {"rules": [{"name": "r", "query": None}]}, {"interval": "x"}):
        assert rule_timing([bad, good], "r", "n") == RuleTiming(60.0, 15.0)
    assert rule_timing(None, "r", "n") == RuleTiming(None, None)
    assert rule_timing(
        [{"interval": math.inf, "rules": [{"name": "r", "query": f"x[{'9' * 400}y]"}]}], "r", "n"
    ) == RuleTiming(None, None)
    target = {"labels": {"namespace": "n", "pod": "a"}, "scrapeInterval": "5s"}
    assert scrape_interval_s([None, {"labels": None}, {**target, "scrapeInterval": 5}, target], "n", ["a"]) == 5.0


@pytest.mark.parametrize("body", [DEEP, b'{"status": "success"}', b"[]"])
def test_an_answer_without_data(body: bytes) -> None:
    """Prometheus, or what answers in its place, is named in one sentence."""
    response = requests.Response()
    response.status_code, response._content = 200, body
    with patch.object(requests.Session, "get", return_value=response), pytest.raises(StackError, match="Prometheus"):
        query("http://127.0.0.1:1", "/api/v1/query", query="up")


@pytest.mark.parametrize(
    "stamp", [None, "", "yesterday", "Mon, 30 Feb 2026 10:00:00 GMT", "Mon, 30 Nov 99999 10:00:00 GMT"]
)
def test_a_date_that_cannot_be_read(stamp: str | None) -> None:
    """The clock of such a server is not compared."""
    assert parse_date(stamp) is None


@pytest.mark.parametrize("body", [DEEP, b'{"spec": {"renewTime": 5}}', b'{"spec": []}', b"null"])
def test_a_lease_without_a_time(body: bytes) -> None:
    """It counts as a lease that cannot be read."""
    assert renew_time_s(body) is None


def test_a_refusal_of_several_lines_is_shown_as_one() -> None:
    """As the message of an admission webhook may be."""
    body = json.dumps({"message": "denied:\n - a\n - \x1b[31mb"}).encode()
    assert error_message(Response(403, {}, body), "https://k") == "403: denied: - a - [31mb"


def test_a_sum_beyond_the_largest_number_is_no_sample() -> None:
    """Two finite series of one pod, whose sum is not finite."""
    series = {"metric": {"pod": "a"}, "values": [[1.0, "1e308"], [2.0, "1"]]}
    assert [reading.value for reading in RecordingRule().parse([series, series])] == [2.0]


@pytest.mark.parametrize("body", [b"", DEEP, b'{"model": "m", "desired": "x"}'])
def test_a_damaged_state_is_one_line(tmp_path: Path, body: bytes) -> None:
    """Without the lines of the library that reads it."""
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "state.json").write_bytes(body)
    with pytest.raises(StackError) as raised:
        StackFolder(tmp_path).read()
    assert len(str(raised.value).splitlines()) == 1


def test_an_address_that_is_no_url(tmp_path: Path) -> None:
    """The collector keeps the addresses that it has."""
    (tmp_path / "stack").mkdir()
    state = {"replicas": [{"name": "a", "phase": "ready", "metrics": "http://[::1"}]}
    (tmp_path / "stack" / "state.json").write_text(json.dumps(state))
    assert StackTargets(RunFolder(tmp_path), INFO).current().replicas == ()


def test_a_date_in_an_option_is_text() -> None:
    """As for Helm, which gets the values as JSON."""
    assert json.loads(json.dumps(parse_set("a=2026-11-30"))) == {"a": "2026-11-30"}


@pytest.mark.parametrize(
    "option", ["a=!!binary eA==", "a=&x [*x]", "a=" + "[" * 5000, ".".join("a" * 2000) + "=1", "x" * 9000]
)
def test_a_value_that_helm_cannot_get(option: str) -> None:
    """It is refused in one short line."""
    with pytest.raises(SettingsError) as raised:
        parse_set(option)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 300])
def test_a_manifest_with_an_impossible_name(tmp_path: Path, name: str) -> None:
    """It describes no folder, so the program is fetched again."""
    (tmp_path / MANIFEST).write_text(json.dumps({name: [33188, 1, "0" * 64, [1, 2, 3]]}))
    assert damaged_file(tmp_path, []) is not None


@pytest.mark.parametrize("name", ["a\0b", "/dev/zero", "."])
def test_a_record_with_a_name_that_is_no_file(tmp_path: Path, name: str) -> None:
    """A device that never ends is not read."""
    (tmp_path / "a.dist-info").mkdir()
    (tmp_path / "a.dist-info" / "RECORD").write_text(f'"{name}",sha256=x,1\n')
    assert changed_since_installed(tmp_path) is not None


def test_a_program_whose_header_points_beyond_its_end(tmp_path: Path) -> None:
    """Offsets up to 2^64 - 1, and tables of four gigabytes."""
    for head in (b"\x7fELF\x02\x01" + b"\xff" * 58, b"\x7fELF\x02\x01" + bytes(26) + bytes(16) + b"\xff" * 16):
        (tmp_path / "program").write_bytes(head)
        assert incomplete_program(tmp_path, ["program"]) == "program"


@pytest.mark.parametrize("url", ["http://[::1", "\ud800://x", "x" * 9000])
def test_an_upload_address_that_is_no_url(url: str) -> None:
    """One short sentence."""
    with pytest.raises(SettingsError) as raised:
        Store(url)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("lengths", [{"kind": "fixed"}, {"kind": "uniform", "low": 1}])
def test_lengths_without_their_numbers(lengths: dict[str, Any]) -> None:
    """The missing field is named, as for any other setting."""
    with pytest.raises(SettingsError, match="field required"):
        Scenario(name="a", load={"kind": "constant", "per_s": 1, "duration_s": 1}, prompts={"input_tokens": lengths})


@pytest.mark.parametrize("times", [[math.nan], [math.inf], [1e300]])
def test_a_time_that_no_request_has(tmp_path: Path, times: list[float]) -> None:
    """The row is left out and named, instead of a report of its length, which would fill the memory."""
    folder = RunFolder(tmp_path)
    folder.write_info(INFO.model_copy(update={"load_start_s": 1.0}))
    folder.append("tokens", "a", [{"request_id": 1, "t_s": times}])
    advice = [each.advice for each in analyze_folder(folder).findings if each.code == "validity.damaged_rows"]
    assert "1 of 1 rows of tokens are left out" in advice[0]


@pytest.mark.parametrize(
    "text", [DEEP, b'{"schema_version": 1, "load_end_s": 1e300}', b'{"schema_version": "' + b"x" * 9000 + b'"}']
)
def test_a_damaged_description_of_a_run_is_one_line(tmp_path: Path, text: bytes) -> None:
    """Whatever is in it."""
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(DatasetError) as raised:
        RunFolder.open(tmp_path)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 600


class _Example(Settings):
    number: int = 1


@pytest.mark.parametrize("fields", [{"a\nb": 1}, {"number": [[1]] * 9000}, {"x" * 9000: 1}, {"number": "y" * 9000}])
def test_an_invalid_setting_is_one_short_line(fields: dict[str, Any]) -> None:
    """Whatever names and values a file or a message has."""
    with pytest.raises(SettingsError) as raised:
        _Example(**fields)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 1200
