"""Builds of an engine on a shared volume: real processes, with a stand-in for the programs of the three steps."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.charts.engine_programs import Volume, module, output, until


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    volume = Volume(tmp_path)
    yield volume
    volume.end()


def test_a_build_leaves_only_engine_tokenizer_and_marker(volume: Volume) -> None:
    """READY has the inputs of the build, and neither temporary folders nor a copy of the weights remain."""
    code, log = output(volume.build("--owner", "job-1"))
    assert code == 0, log
    marker = json.loads((volume.folder / "READY").read_text())
    assert marker["ingredients"]["gpu_product"] == "NVIDIA-H100-80GB-HBM3"
    assert set(marker["seconds"]) == {"download", "convert", "build"}
    assert (volume.folder / "engine/rank0.engine").read_text() == "build"
    names = sorted(path.name for path in (volume.folder / "tokenizer").iterdir())
    assert names == ["config.json", "tokenizer.json"]
    assert sorted(path.name for path in volume.folder.iterdir()) == ["READY", "engine", "lock", "logs", "tokenizer"]


def test_concurrent_builders_build_once(volume: Volume) -> None:
    """A second builder waits for the result of the first one, and a later one uses the existing engine."""
    volume.plan("build", sleeps_s=1.5)
    first, second = volume.build("--owner", "job-1"), volume.build("--owner", "job-2")
    results = [output(first), output(second)]
    assert [code for code, _ in results] == [0, 0], results
    assert volume.calls() == ["download", "convert", "build"]
    assert any("is already building" in log for _, log in results)
    code, log = output(volume.build())
    assert (code, "nothing to build" in log) == (0, True)
    assert volume.calls() == ["download", "convert", "build"]


def test_exactly_one_builder_takes_over_from_a_killed_one(volume: Volume) -> None:
    """After SIGKILL no engine is marked as ready, and one of several builders takes over the stale lock."""
    volume.plan("build", sleeps_s=30)
    killed = volume.build("--owner", "killed")
    until(lambda: volume.calls() == ["download", "convert", "build"])
    program = psutil.Process(killed.pid).children()
    killed.kill()
    killed.wait()
    psutil.wait_procs([child for child in program if child.kill() is None])
    assert not (volume.folder / "READY").exists()
    assert not (volume.folder / "engine").exists()
    volume.plan("build")
    results = [output(process) for process in [volume.build(stale_s=2.5) for _ in range(3)]]
    assert [code for code, _ in results] == [0, 0, 0], results
    assert volume.calls() == ["download", "convert", "build", "convert", "build"]  # the download was complete
    assert json.loads((volume.folder / "READY").read_text())["generation"] == 2
    assert not list(volume.folder.glob("building.*"))


def test_a_builder_that_lost_its_lock_publishes_nothing(volume: Volume) -> None:
    """A builder that is resumed after a takeover ends its program and publishes nothing."""
    volume.plan("build", sleeps_s=100)
    frozen = volume.build("--owner", "frozen")
    until(lambda: volume.calls() == ["download", "convert", "build"])
    (program,) = psutil.Process(frozen.pid).children()
    frozen.send_signal(signal.SIGSTOP)
    volume.plan("build")
    code, log = output(volume.build(stale_s=1.0))
    assert code == 0, log
    frozen.send_signal(signal.SIGCONT)
    code, log = output(frozen)
    assert (code, "another builder took the lock" in log) == (1, True), log
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE
    assert json.loads((volume.folder / "READY").read_text())["generation"] == 2
    assert not (volume.folder / "FAILED").exists()


def test_a_failed_step_is_reported_until_the_next_attempt(volume: Volume) -> None:
    """FAILED and the termination log have step, exit code, hint and last lines; a retry reuses the download."""
    volume.plan("build", says="RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", fails_with=7)
    code, log = output(volume.build())
    assert code == 1
    for text in (log, volume.log.read_text()):
        assert "step build ended with exit code 7" in text
        assert "lower build.max_batch_size" in text
        assert "Tried to allocate 2 GiB" in text
    failed = json.loads((volume.folder / "FAILED").read_text())
    assert (failed["step"], failed["exit_code"], failed["generation"]) == ("build", 7, 1)
    assert "Tried to allocate" in (volume.folder / "logs/000001.log").read_text()
    volume.plan("build")
    code, log = output(volume.build())
    assert code == 0, log
    assert not (volume.folder / "FAILED").exists()
    assert volume.calls() == ["download", "convert", "build", "convert", "build"]


def test_a_builder_that_waits_for_a_failing_build_fails_with_its_reason(volume: Volume) -> None:
    """The second Job does not repeat the step that has just failed."""
    volume.plan("convert", sleeps_s=1.0, says="ValueError: no such layer", fails_with=1)
    first = volume.build("--owner", "job-1")
    until(lambda: "convert" in volume.calls())
    code, log = output(volume.build("--owner", "job-2"))
    assert (code, "job-1 is already building" in log, "no such layer" in log) == (1, True, True), log
    assert output(first)[0] == 1
    assert volume.calls().count("convert") == 1


def test_sigterm_ends_the_program_and_releases_the_lock(volume: Volume) -> None:
    """The next builder starts at once, without waiting until the lock is stale."""
    volume.plan("convert", sleeps_s=60)
    stopped = volume.build()
    until(lambda: "convert" in volume.calls())
    (program,) = psutil.Process(stopped.pid).children()
    stopped.send_signal(signal.SIGTERM)
    code, log = output(stopped)
    assert (code, "SIGTERM" in log) == (143, True), log
    psutil.wait_procs([program], timeout=10)
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE
    assert not (volume.folder / "FAILED").exists()
    volume.plan("convert")
    code, log = output(volume.build(stale_s=600))
    assert code == 0, log


@pytest.mark.parametrize("by_file", [False, True])
def test_the_token_is_in_no_output(volume: Volume, tmp_path: Path, by_file: bool) -> None:
    """The token is in no output, log or file of the volume, even if a program prints its environment."""
    token = "hf_" + "x" * 30
    (tmp_path / "token").write_text(token + "\n")
    volume.plan("build", says=f"url: https://user:{token}@huggingface.co", fails_with=1)
    commands = volume.said["commands"]
    volume.write(commands=commands | {"build": [*commands["build"], f"--token={token}"]})
    flags = ("--token-file", str(tmp_path / "token")) if by_file else ()
    code, log = output(volume.build(*flags, **({} if by_file else {"HF_TOKEN": token})))
    assert (code, "the environment has ***" in log) == (1, True)
    texts = [log, *(path.read_text() for path in volume.root.rglob("*") if path.is_file()), volume.log.read_text()]
    assert not any(token in text for text in texts)


def test_insufficient_space_is_reported_before_any_download(volume: Volume) -> None:
    """The message has the free and the required space and what to do."""
    volume.write(min_free_bytes=2**60)
    code, log = output(volume.build())
    assert (code, volume.calls()) == (1, [])
    assert "GiB free" in log
    assert "need about 1073741824.0 GiB" in log
    assert "Enlarge the volume" in log
    assert "Enlarge the volume" in json.loads((volume.folder / "FAILED").read_text())["reason"]


def test_a_model_on_the_volume_is_not_downloaded(volume: Volume) -> None:
    """`model.path` is relative to the root of the volume; a missing folder fails the build with its path."""
    volume.write(model={"path": "models/tiny"})
    code, log = output(volume.build())
    assert (code, "models/tiny does not exist or is not a folder" in log) == (1, True)
    model = volume.root / "models/tiny"
    model.mkdir(parents=True)
    (model / "tokenizer.json").write_text("{}")
    code, log = output(volume.build())
    assert code == 0, log
    assert volume.calls() == ["convert", "build"]
    assert model.is_dir()


def test_a_missing_engine_or_program_is_a_failure(volume: Volume) -> None:
    """The build fails if a program exits with 0 without an engine for every rank, or if it does not exist."""
    commands = volume.said["commands"]
    volume.write(commands={**commands, "build": ["true"]})
    code, log = output(volume.build())
    assert (code, "did not write rank0.engine" in log) == (1, True)
    volume.write(commands={**commands, "build": ["trtllm-build-that-is-not-there"]})
    code, log = output(volume.build())
    assert (code, "trtllm-build-that-is-not-there cannot be started" in log) == (1, True)
    volume.write(commands=commands, tensor_parallelism=2)
    code, log = output(volume.build())
    assert (code, "did not write rank1.engine" in log) == (1, True)


def test_the_built_in_command_lines_are_those_of_the_image(tmp_path: Path) -> None:
    """Each model family has its converter, quantized models use the quantizer, and the user's options come last."""
    steps, settings = module("steps"), module("settings")
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    log = settings.parse(
        {
            "model": {"repository": "acme/tiny"},
            "tensor_parallelism": 2,
            "data_type": "bfloat16",
            "build": {"max_batch_size": 16, "max_seq_len": 4096.0, "extra_args": ["--fast_build"]},
        }
    )
    arguments = steps.values(log, tmp_path, Path("/b")) | {"convert_script": steps.convert_script(log, tmp_path)}
    assert steps.fill(steps.CONVERT, arguments)[1:] == [
        "/app/examples/models/core/qwen/convert_checkpoint.py", "--model_dir", str(tmp_path),
        "--output_dir", "/b/checkpoint", "--dtype", "bfloat16", "--tp_size", "2", "--pp_size", "1",
    ]  # fmt: skip
    assert steps.fill(steps.BUILD, arguments) == [
        "trtllm-build", "--checkpoint_dir", "/b/checkpoint", "--output_dir", "/b/engine", "--max_batch_size", "16",
        "--max_seq_len", "4096", "--gemm_plugin", "auto", "--use_paged_context_fmha", "enable", "--fast_build",
    ]  # fmt: skip
    quantized = settings.parse({"model": {"repository": "acme/tiny"}, "quantization": "fp8"})
    arguments = steps.values(quantized, tmp_path, Path("/b"))
    arguments["convert_script"] = steps.convert_script(quantized, tmp_path)
    assert steps.fill(steps.CONVERT, arguments)[1] == "/app/examples/quantization/quantize.py"
    assert steps.fill(steps.CONVERT, arguments)[-2:] == ["--qformat", "fp8"]


def test_an_unknown_placeholder_or_model_family_is_refused(tmp_path: Path) -> None:
    """The message has the name of the placeholder or of the family."""
    steps, errors, settings = module("steps"), module("errors"), module("settings")
    with pytest.raises(errors.SettingsError, match=r"\{modle_dir\}"):
        steps.fill(("x", "{modle_dir}"), {"model_dir": "m"})
    with pytest.raises(errors.SettingsError, match="list"):
        steps.fill(("--all={build_args}",), {"build_args": ["a"]})
    (tmp_path / "config.json").write_text('{"model_type": "gemma3"}')
    with pytest.raises(errors.EngineError, match=r"gemma3.*convert\.script"):
        steps.convert_script(settings.parse({"model": {"repository": "acme/tiny"}}), tmp_path)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized", "token"),
        ("OSError: [Errno 28] No space left on device", "volume is full"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "GPU ran out of memory"),
        ("trtllm-build: error: unrecognized arguments: --use_x", "extra_args"),
        ("all is well", None),
    ],
)
def test_common_failures_come_with_advice(line: str, advice: str | None) -> None:
    """Known error messages have a hint; unknown ones have none."""
    hint = module("hints").hint(1, [line])
    assert hint is None if advice is None else advice in hint
