"""Locust stays Locust: the real `locust` command against the reference server, its flags, protocols and bad input."""

import csv
import re
from pathlib import Path

import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.protocols.reference import Script
from support.runs.locust_bench import Bench


def test_the_main_job(bench: Bench) -> None:
    """A run ends by itself with exit code 0, one row an arrival, four token times each, and the report's path last."""
    code, out, err = bench.run()
    assert code == 0, err
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(120))
    assert set(rows.outcome) == {"ok"}
    tokens = bench.run_folder().read("tokens")
    assert {len(times) for times in tokens.t_s} == {4}
    report = Path(out.strip().splitlines()[-1])
    assert (bench.folder / report).is_file()
    assert bench.run_folder().read_info().state == "finished"
    assert set(bench.run_folder().read("events").kind) == {"load_started", "load_ended"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_all_protocols(bench: Bench, protocol: str, stream: str) -> None:
    """Every protocol runs, with request names of call and model, and TTFT and gaps as entries beside the total."""
    target = f"{protocol}://127.0.0.1:{bench.ports[protocol]}"
    code, _, err = bench.run("--target", target, "--protocol", protocol, stream, "--csv", "stats", TEST_S="1")
    assert code == 0, err
    with (bench.folder / "stats_stats.csv").open() as file:
        entries = {row["Type"]: row for row in csv.DictReader(file)}
    call = {
        ("grpc", "--stream"): "ModelStreamInfer",
        ("grpc", "--no-stream"): "ModelStreamInfer",
        ("http", "--stream"): "generate_stream",
        ("http", "--no-stream"): "generate",
    }[protocol, stream]
    assert entries[protocol]["Name"] == f"{call} tensorrt_llm_bls"
    assert entries[protocol]["Request Count"] == "40"
    assert entries[""]["Request Count"] == "40"
    if stream == "--no-stream":
        assert err.count("no token times: limits on TTFT, ITL and TPOT are ignored") == 1
        assert set(entries) == {protocol, ""}
    else:
        assert entries["TTFT"]["Request Count"] == "40"
        assert entries["ITL"]["Request Count"] == "120"


def test_workers_share_the_load(bench: Bench) -> None:
    """With --processes every arrival is sent once, by one of the workers, and none is missing."""
    code, _, err = bench.run("--processes", "2")
    assert code == 0, err
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(120))
    assert rows.groupby("worker").size().to_dict() == {0: 60, 1: 60}
    assert set(rows.outcome) == {"ok"}


def test_failed_limit_is_exit_code_1(bench: Bench) -> None:
    """A broken SLO ends with exit code 1 and says FAIL."""
    bench.prompts(Script(tokens=2, first_s=0.3))
    code, out, _ = bench.run(TEST_TTFT_S="0.1")
    assert code == 1
    assert "FAIL" in out


def test_failures_are_rows_with_causes(bench: Bench) -> None:
    """Refusals, cut streams and empty answers are rows with outcome and cause, and failures in Locust's statistics."""
    bench.prompts(Script(fault="reject"), Script(fault="cut"), Script(fault="empty"), Script())
    code, out, err = bench.run()
    assert code == 1
    rows = bench.requests()
    assert set(rows.outcome) == {"rejected", "cut_off", "error", "ok"}
    assert rows.loc[rows.outcome != "ok", "cause"].notna().all()
    assert "rejected: UNAVAILABLE: Exceeds maximum queue size" in out + err


def test_tags_choose_user_classes(bench: Bench) -> None:
    """--tags keeps its meaning: only the users of the tagged class get a task."""
    code, _, err = bench.run("OneUser", "--tags", "two", TEST_S="1")
    assert code != 0
    assert "No tasks defined on OneUser" in err
    code, _, err = bench.run("TwoUser", "--tags", "two", TEST_S="1")
    assert code == 0, err


def test_html_and_json_of_locust(bench: Bench) -> None:
    """Locust's own --html and --json-file are written as ever."""
    code, _, err = bench.run("--html", "locust.html", "--json-file", "locust", TEST_S="1")
    assert code == 0, err
    assert "ModelStreamInfer tensorrt_llm_bls" in (bench.folder / "locust.html").read_text()
    assert (bench.folder / "locust.json").is_file()


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (("--target", "grpc://127.0.0.1:1"), 2, r"cannot reach a gRPC server at 127\.0\.0\.1:1"),
        (("--target", "http://127.0.0.1:1"), 2, r"cannot reach an HTTP server at 127\.0\.0\.1:1"),
        (("--target", "nonsense"), 2, r"target 'nonsense' is no URL .*, or 'local'"),
        (("--target", "http://127.0.0.1:1", "--protocol", "grpc"), 2, "protocol grpc contradicts target"),
        (("--target", "http://127.0.0.1:1/path"), 2, "target .* has the path '/path'"),
        (("--model", "llama"), 2, "no ready model 'llama'; it serves: tensorrt_llm_bls"),
    ],
)
def test_bad_flags(bench: Bench, flags: tuple[str, ...], code: int, says: str) -> None:
    """A target that cannot be driven ends the run with one sentence, no traceback, and the exit code of usage."""
    got, _, err = bench.run(*flags)
    assert got == code, err
    assert re.search(f"^error: .*{says}", err, re.MULTILINE), err
    assert "Traceback" not in err
    for folder in (bench.folder / "runs").glob("*"):  # those that were refused later than at the flags
        assert re.search(says, str(RunFolder.open(folder).read_info().error))


def test_bad_prompts(bench: Bench) -> None:
    """A malformed prompt file is refused by line before anything starts."""
    (bench.folder / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": 1}\n')
    code, _, err = bench.run()
    assert code == 2
    assert re.search("^error: prompt file .*, line 2: prompt", err, re.MULTILINE), err
    assert not (bench.folder / "runs").exists()


def test_bad_scenario(bench: Bench) -> None:
    """A contradiction inside a locustfile is one sentence, not a traceback."""
    code, _, err = bench.run(TEST_PER_S="-3")
    assert code == 2
    assert "error: Constant.per_s: input should be greater than or equal to 0, got -3.0" in err
    assert "Traceback" not in err
