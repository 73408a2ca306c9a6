"""Whole runs of the `locust` command against the reference server.

Needs only loopback. Tests share runs and take about a minute in all.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.protocols.reference import Script
from support.runs.locust_bench import Bench, FinishedRun
from support.runs.secrets import places_of

Runs = Callable[..., FinishedRun]

SECRETS = {
    "--header": "s3cret flag/1",
    "--header-file": "s3cret file/2",
    "LOADGEN_HEADERS": "s3cret variable/3",
    "LOADGEN_WORKER_SECRET": "s3cret worker/4",
    "AWS_SECRET_ACCESS_KEY": "s3cret upload/5",
    "AWS_SESSION_TOKEN": "s3cret session/6",
}
"""Secrets by the way in which a run gets them."""
IN_ENVIRONMENT = {name: secret for name, secret in SECRETS.items() if name.isupper()}


@pytest.fixture(scope="module")
def streamed(whole_run: Runs) -> FinishedRun:
    """Run gRPC with streaming, the users of one tag, all output files of Locust, a header and a dead proxy."""
    flags = ("--protocol", "grpc", "--stream", "--csv", "stats", "--html", "locust.html", "--json-file", "locust")
    settings = {**IN_ENVIRONMENT, "LOADGEN_HEADERS": f"X-Key: {SECRETS['LOADGEN_HEADERS']}"}
    return whole_run("TwoUser", "--tags", "two", *flags, http_proxy="http://127.0.0.1:1", no_proxy="", **settings)


@pytest.fixture(scope="module")
def distributed(whole_run: Runs, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Run HTTP with streaming and two workers, headers, a dead proxy in the environment, and Locust's JSON."""
    flags = ("--target", f"http://127.0.0.1:{ports['http']}", "--protocol", "http", "--stream", "--csv", "stats")
    file = tmp_path_factory.mktemp("headers") / "headers"
    file.write_text(f"X-Team: {SECRETS['--header-file']}\n")
    headers = ("--header", f"X-Key: {SECRETS['--header']}", "--header-file", str(file))
    settings = {**IN_ENVIRONMENT, "LOADGEN_HEADERS": f"X-Zone: {SECRETS['LOADGEN_HEADERS']}"}
    dead_proxy = {"http_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    return whole_run("--processes", "2", *flags, *headers, "--json", **dead_proxy, **settings)


@pytest.fixture(scope="module")
def unstreamed(whole_run: Runs, ports: dict[str, int]) -> FinishedRun:
    """Run HTTP without streaming, on an ASCII console."""
    flags = ("--target", f"http://127.0.0.1:{ports['http']}", "--protocol", "http", "--no-stream")
    return whole_run(*flags, "--csv", "stats", TEST_S="1", PYTHONIOENCODING="ascii")


@pytest.fixture(scope="module")
def failing(whole_run: Runs) -> FinishedRun:
    """Run requests that fail in three ways, and others that exceed the limit on TTFT."""
    prompts = (Script(fault="reject"), Script(fault="cut"), Script(fault="empty"), Script(tokens=2, first_s=0.3))
    return whole_run(prompts=prompts, TEST_TTFT_S="0.1")


def test_the_main_job(streamed: FinishedRun) -> None:
    """A run exits with 0, one row per arrival, four token times per request, and the report's path as last line."""
    code, out, err = streamed.result
    assert code == 0, err
    bench = streamed.bench
    rows = bench.requests()
    assert rows.request_id.to_list() == list(range(30))
    assert set(rows.outcome) == {"ok"}
    tokens = bench.run_folder().read("tokens")
    assert {len(times) for times in tokens.t_s} == {4}
    report = Path(out.strip().splitlines()[-1])
    assert (bench.folder / report).is_file()
    assert bench.run_folder().read_info().state == "finished"
    assert set(bench.run_folder().read("events").kind) == {"load_started", "load_ended"}


@pytest.mark.parametrize(
    ("run", "protocol", "call"),
    [("streamed", "grpc", "ModelStreamInfer"), ("distributed", "http", "generate_stream")],
)
def test_streaming_protocols(request: pytest.FixtureRequest, run: str, protocol: str, call: str) -> None:
    """Locust's statistics have entries with the names of call and model, for TTFT, for ITL and for the total."""
    finished: FinishedRun = request.getfixturevalue(run)
    assert finished.result.code == 0, finished.result.err
    entries = finished.locust_entries()
    assert entries[protocol]["Name"] == f"{call} tensorrt_llm_bls"
    counts = {kind: entry["Request Count"] for kind, entry in entries.items()}
    assert counts == {protocol: "30", "TTFT": "30", "ITL": "90", "": "30"}


def test_without_streaming(unstreamed: FinishedRun) -> None:
    """Without streaming there are no entries for token times, and one message about the limits that are ignored."""
    code, _, err = unstreamed.result
    assert code == 0, err
    assert len(re.findall("no token times: .*limits on TTFT, ITL and TPOT are", err)) == 1
    entries = unstreamed.locust_entries()
    assert entries["http"]["Name"] == "generate tensorrt_llm_bls"
    assert {kind: entry["Request Count"] for kind, entry in entries.items()} == {"http": "10", "": "10"}


def test_workers_share_the_load(distributed: FinishedRun) -> None:
    """With --processes every arrival is sent exactly once, by one of the workers."""
    assert distributed.result.code == 0, distributed.result.err
    rows = distributed.bench.requests()
    assert rows.request_id.to_list() == list(range(30))
    assert rows.groupby("worker").size().to_dict() == {0: 15, 1: 15}
    assert set(rows.outcome) == {"ok"}


def test_standard_output_with_json(distributed: FinishedRun) -> None:
    """With --json standard output has Locust's JSON once and nothing else; the verdict is on standard error."""
    _, out, err = distributed.result
    assert {entry["method"]: entry["num_requests"] for entry in json.loads(out)}["http"] == 30
    assert "PASS" in err
    # not always the last line: Locust's CSV writer can fail after the files were closed, and logs that
    assert any(line.endswith("report.html") for line in err.splitlines())


def test_an_ascii_console(unstreamed: FinishedRun) -> None:
    """The verdict is printed, its path is the last line, and other characters are replaced."""
    code, out, err = unstreamed.result
    assert code == 0, err
    assert out.isascii()
    assert "PASS" in out
    assert out.strip().endswith("report.html")


def test_violated_slos_have_exit_code_1(failing: FinishedRun) -> None:
    """With violated SLOs the run exits with 1 and prints FAIL, and each of them is a finding."""
    code, out, err = failing.result
    assert code == 1, err
    assert "FAIL" in out
    findings = failing.analysis()["findings"]
    failed = {finding["code"] for finding in findings if finding["severity"] == "fail" and not finding["passed"]}
    assert failed == {"slo.ttft.p95", "slo.failed.ratio"}


def test_chunks_are_labelled(streamed: FinishedRun) -> None:
    """The server of this run gives no token counts: page, analysis and rows say that chunks were counted."""
    assert set(streamed.bench.requests().token_source) == {"chunks"}
    assert streamed.analysis()["output_unit"] == "chunks"
    page = (streamed.bench.run_folder().path / "report.html").read_text()
    assert "Output chunks" in page
    assert "Output tokens" not in page


def test_failures_are_rows_with_causes(failing: FinishedRun) -> None:
    """Rejected, broken and empty responses are rows with outcome and cause, and failures in Locust's statistics."""
    rows = failing.bench.requests()
    assert set(rows.outcome) == {"rejected", "cut_off", "error", "ok"}
    assert rows.loc[rows.outcome != "ok", "cause"].notna().all()
    assert "rejected: UNAVAILABLE: Exceeds maximum queue size" in failing.result.out + failing.result.err


def test_html_and_json_of_locust(streamed: FinishedRun) -> None:
    """The files of Locust's --html and --json-file are written."""
    assert "ModelStreamInfer tensorrt_llm_bls" in (streamed.bench.folder / "locust.html").read_text()
    assert (streamed.bench.folder / "locust.json").is_file()


def test_an_unreachable_target(bench: Bench) -> None:
    """An unreachable target ends the run with one sentence, the exit code for usage errors and a record of it."""
    code, _, err = bench.run("--target", "grpc://127.0.0.1:1")
    assert code == 2, err
    message = r"cannot reach a gRPC server at 127\.0\.0\.1:1"
    assert re.search(f"^error: .*{message}", err, re.MULTILINE), err
    assert "Traceback" not in err
    (folder,) = bench.run_folders()
    assert re.search(message, str(RunFolder.open(folder).read_info().error))


def test_an_invalid_prompt_file(bench: Bench) -> None:
    """An invalid prompt file is refused with the number of the line, before anything starts."""
    (bench.folder / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": 1}\n')
    code, _, err = bench.run()
    assert code == 2
    assert re.search("^error: prompt file .*, line 2: prompt", err, re.MULTILINE), err
    assert "Traceback" not in err
    assert not (bench.folder / "runs").exists()


def test_an_invalid_scenario(bench: Bench) -> None:
    """An invalid setting in a locustfile is reported in one sentence, without a traceback."""
    code, _, err = bench.run(TEST_PER_S="-3")
    assert code == 2
    assert "error: Constant.per_s: input should be greater than or equal to 0, got -3.0" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("run", "headers"), [("streamed", ("X-Key",)), ("distributed", ("X-Zone", "X-Team", "X-Key"))])
def test_nothing_that_a_run_wrote_has_a_secret(
    run: str, headers: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """Neither the run folder with its tables, nor any output or shared memory; run.json has the names of the headers.

    Loopback was reached without the dead proxy.
    """
    finished: FinishedRun = request.getfixturevalue(run)
    assert finished.result.code == 0, finished.result.err
    folder = finished.bench.folder
    assert len([path for path in folder.rglob("*") if path.is_file()]) > 10
    assert {way: found for way, secret in SECRETS.items() if (found := places_of(secret, folder))} == {}
    assert places_of("tensorrt_llm", folder)  # the search finds what is there
    connection = finished.bench.run_folder().read_info().connection
    assert connection is not None
    assert (sorted(connection.headers), connection.proxy) == (sorted(headers), None)
