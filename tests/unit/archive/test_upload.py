"""`loadgen upload`: runs are copied once and whole, to a folder and to a server that speaks S3."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pyarrow import fs

from loadgen.archive.store import Store
from loadgen.base.errors import ExitCode
from loadgen.cli import main

LOADGEN = [sys.executable, "-m", "loadgen"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs, and a folder without a run."""
    for name in ("20261126-a", "20261127-b"):
        folder = tmp_path / "runs" / name
        (folder / "requests").mkdir(parents=True)
        (folder / "requests/part-load0-1.parquet").write_bytes(name.encode() * 100)
        (folder / "requests/part-load0-2.parquet.tmp").write_bytes(b"half")
        (folder / "report.html").write_text("<p>")
        (folder / "run.json").write_text("{}")
    (tmp_path / "runs/lost+found").mkdir()
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a server that speaks S3, with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    address = f"127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None
            try:
                assert requests.put(f"http://{address}/kept", timeout=10).ok
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline, "no S3"
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def s3_url(address: str, place: str = "kept/runs") -> str:
    return f"s3://key:open-sesame@{place}?scheme=http&region=us-east-1&endpoint_override={address}"


def files(url: str) -> dict[str, bytes]:
    """Everything below a URL, by its path there."""
    store, root = fs.FileSystem.from_uri(url)
    found = store.get_file_info(fs.FileSelector(root, recursive=True))
    return {
        each.path.removeprefix(root + "/"): store.open_input_stream(each.path).read() for each in found if each.is_file
    }


@pytest.mark.parametrize("where", ["file", "s3"])
def test_every_run_is_there_once_and_whole(
    where: str, runs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Runs keep their names, half-written files and other folders stay behind, and a second call copies nothing."""
    url = f"file://{tmp_path}/kept" if where == "file" else s3_url(request.getfixturevalue("s3"))
    assert len(list(Store(url).upload(runs))) == 2
    expected = {
        f"{run}/{file}": (runs / run / file).read_bytes()
        for run in ("20261126-a", "20261127-b")
        for file in ("requests/part-load0-1.parquet", "report.html", "run.json")
    }
    assert files(url) == expected
    assert list(Store(url).upload(runs)) == []
    (runs / "20261127-b/report.html").write_text("<p>judged again")
    (again,) = Store(url).upload(runs)
    assert again.endswith("/20261127-b")
    assert "?" not in again
    assert "open-sesame" not in again
    assert files(url)["20261127-b/report.html"] == b"<p>judged again"


def test_one_run(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run folder is uploaded alone, under its own name even where it is the working directory."""
    before = Path.cwd()
    os.chdir(runs / "20261126-a")
    try:
        assert main(["upload", ".", f"file://{tmp_path}/kept"]) == ExitCode.PASS
    finally:
        os.chdir(before)
    assert f"uploaded file://{tmp_path}/kept/20261126-a" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["20261126-a"]


@pytest.mark.parametrize("where", ["file", "s3"])
def test_symbolic_links_are_not_followed(
    where: str, runs: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a linked file nor a linked folder nor a linked run is copied; each is named."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/shadow").write_text("root:x")
    (tmp_path / "secret/run.json").write_text("{}")
    (runs / "20261126-a/hosts").symlink_to(tmp_path / "secret/shadow")
    (runs / "20261126-a/logs").symlink_to(tmp_path / "secret")
    (runs / "20261126-a/dangling").symlink_to(tmp_path / "nowhere")
    (runs / "20261128-linked").symlink_to(tmp_path / "secret")
    (runs / "20261129-c").mkdir()
    (runs / "20261129-c/run.json").symlink_to(tmp_path / "secret/run.json")
    place = f"links{where}"
    url = f"file://{tmp_path}/{place}" if where == "file" else s3_url(request.getfixturevalue("s3"), f"kept/{place}")
    assert len(list(Store(url).upload(runs))) == 2
    assert sorted(files(url)) == [
        f"{run}/{file}"
        for run in ("20261126-a", "20261127-b")
        for file in ("report.html", "requests/part-load0-1.parquet", "run.json")
    ]
    err = capsys.readouterr().err
    for name in ("hosts", "logs", "dangling"):
        assert f"not uploaded, because it is a symbolic link: {runs}/20261126-a/{name}\n" in err


def test_a_copy_in_a_folder_keeps_the_modes(runs: Path, tmp_path: Path) -> None:
    """What only its owner may read stays so."""
    run = runs / "20261126-a"
    for path, mode in (
        (run, 0o700),
        (run / "requests", 0o750),
        (run / "run.json", 0o600),
        (run / "report.html", 0o640),
    ):
        path.chmod(mode)
    list(Store(f"file://{tmp_path}/kept").upload(run))
    kept = tmp_path / "kept/20261126-a"
    modes = {path.relative_to(kept).as_posix(): path.stat().st_mode & 0o777 for path in (kept, *kept.rglob("*"))}
    assert modes == {
        ".": 0o700,
        "requests": 0o750,
        "run.json": 0o600,
        "report.html": 0o640,
        "requests/part-load0-1.parquet": (run / "requests/part-load0-1.parquet").stat().st_mode & 0o777,
    }


def test_links_at_the_destination_are_not_followed(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A linked file is replaced, and a linked folder is refused."""
    kept, precious = tmp_path / "kept/20261126-a", tmp_path / "precious"
    kept.mkdir(parents=True)
    precious.mkdir()
    (precious / "file").write_text("precious")
    (kept / "report.html").symlink_to(precious / "file")
    assert main(["upload", str(runs / "20261126-a"), f"file://{tmp_path}/kept"]) == ExitCode.PASS
    assert (precious / "file").read_text() == "precious"
    assert (kept / "report.html").read_text() == "<p>"
    (tmp_path / "kept/20261127-b").symlink_to(precious)
    assert main(["upload", str(runs / "20261127-b"), f"file://{tmp_path}/kept"]) == ExitCode.TOOL
    assert "kept/20261127-b is a symbolic link" in capsys.readouterr().err
    assert [path.name for path in precious.iterdir()] == ["file"]


def test_a_run_with_its_last_file_is_complete(runs: Path, tmp_path: Path) -> None:
    """A run with `run.json` is complete: when a file before it cannot be copied, it is not there."""
    (tmp_path / "kept/20261126-a/report.html").mkdir(parents=True)
    (runs / "20261126-a/zz").write_text("after it by name")
    assert main(["upload", str(runs), f"file://{tmp_path}/kept"]) == ExitCode.TOOL
    assert not (tmp_path / "kept/20261126-a/run.json").exists()


WRONG = {
    "not a URL": ("/mnt/runs", ExitCode.USAGE, "use one like s3://bucket/runs"),
    "an unsupported scheme": ("ftp://host/runs", ExitCode.USAGE, "use s3://bucket/runs"),
    "a relative folder": ("file://runs", ExitCode.USAGE, "cannot be relative"),
    "a secret in a bad URL": ("s3://key:open-sesame@a b/c", ExitCode.USAGE, "unsupported storage URL s3://a b/c"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_url_is_refused_before_any_load(case: str, runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One sentence, without the secrets of the URL; the command of `--after` does not run for nothing."""
    url, code, words = WRONG[case]
    assert main(["upload", str(runs), url, "--after", "echo", "an hour of load"]) == code
    out, err = capfd.readouterr()
    assert words in err
    assert "open-sesame" not in err
    assert out == ""


def test_a_missing_bucket(runs: Path, s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error has the server's reason and what to check; no bucket is created."""
    assert main(["upload", str(runs), s3_url(s3, "nowhere/runs")]) == ExitCode.TOOL
    err = capsys.readouterr().err
    assert "cannot upload runs to s3://nowhere/runs" in err
    assert "check bucket, credentials and network" in err
    assert "open-sesame" not in err


def test_the_name_before_0_1_0_is_an_alias(runs: Path, tmp_path: Path) -> None:
    """Charts and scripts that call `loadgen keep` go on working until that release."""
    assert main(["keep", str(runs), f"file://{tmp_path}/kept"]) == ExitCode.PASS
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without runs is wrong usage."""
    assert main(["upload", str(tmp_path), f"file://{tmp_path}/kept"]) == ExitCode.USAGE
    assert "there is no run in" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_is_that_of_the_command(code: int, runs: Path, tmp_path: Path) -> None:
    """A failed run is uploaded like a good one, and its exit code stays: it is the gate."""
    script = f"cp -r {runs}/20261126-a {runs}/made; exit {code}"
    assert main(["upload", str(runs), f"file://{tmp_path}/kept", "--after", "sh", "-c", script]) == code
    assert (tmp_path / "kept/made/run.json").is_file()


def test_an_upload_that_fails_fails_a_run_that_passed(runs: Path, s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    """When the run passed and its folder is lost, the exit code says so; when it failed, the failure weighs more."""
    for script, code in (("exit 0", ExitCode.TOOL), ("exit 1", ExitCode.FAIL)):
        assert main(["upload", str(runs), s3_url(s3, "nowhere/runs"), "--after", "sh", "-c", script]) == code
        assert "cannot upload runs to" in capsys.readouterr().err


def test_sigterm_is_passed_to_the_command(runs: Path, tmp_path: Path) -> None:
    """SIGTERM, as from a cluster that ends the pod, reaches the load, which reports; then its run is uploaded."""
    script = f"trap 'cp -r {runs}/20261126-a {runs}/judged; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    command = [*LOADGEN, "upload", runs, f"file://{tmp_path}/kept", "--after", "sh", "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == ExitCode.INVALID
    process.stdout.close()
    assert (tmp_path / "kept/judged/run.json").is_file()


def test_a_missing_program(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence."""
    assert main(["upload", str(runs), f"file://{tmp_path}", "--after", "no-such-program"]) == ExitCode.USAGE
    assert "cannot run no-such-program" in capsys.readouterr().err
