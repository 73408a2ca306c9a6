"""One build for all who ask; real processes on a real folder, with a stand-in for the three programs."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.charts.engine_programs import Volume, module, output, until


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    made = Volume(tmp_path)
    yield made
    made.end()


def test_a_build_leaves_engine_tokenizer_and_the_marker_and_nothing_in_the_making(volume: Volume) -> None:
    """READY says what the engine was made from; the weights are not kept twice."""
    code, said = output(volume.build("--owner", "job-1"))
    assert code == 0, said
    marker = json.loads((volume.folder / "READY").read_text())
    assert marker["ingredients"]["gpu_product"] == "NVIDIA-H100-80GB-HBM3"
    assert set(marker["seconds"]) == {"download", "convert", "build"}
    assert (volume.folder / "engine/rank0.engine").read_text() == "build"
    names = sorted(path.name for path in (volume.folder / "tokenizer").iterdir())
    assert names == ["config.json", "tokenizer.json"]
    assert sorted(path.name for path in volume.folder.iterdir()) == ["READY", "engine", "lock", "logs", "tokenizer"]


def test_two_at_once_build_once_and_a_third_does_not_build(volume: Volume) -> None:
    """Whoever comes second waits for the first one's result, whoever comes later takes it."""
    volume.plan("build", sleeps_s=1.5)
    first, second = volume.build("--owner", "job-1"), volume.build("--owner", "job-2")
    results = [output(first), output(second)]
    assert [code for code, _ in results] == [0, 0], results
    assert volume.calls() == ["download", "convert", "build"]
    assert any("builds" in said and "already" in said for _, said in results)
    code, said = output(volume.build())
    assert (code, "nothing to build" in said) == (0, True)
    assert volume.calls() == ["download", "convert", "build"]


def test_a_killed_builder_is_followed_by_exactly_one_of_several(volume: Volume) -> None:
    """After SIGKILL nothing looks finished, and when its lock is stale one builder takes it over."""
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
    assert volume.calls() == ["download", "convert", "build", "convert", "build"]  # the download was whole
    assert json.loads((volume.folder / "READY").read_text())["generation"] == 2
    assert not list(volume.folder.glob("building.*"))


def test_a_builder_that_was_frozen_and_replaced_ends_without_a_trace(volume: Volume) -> None:
    """Who wakes up after a takeover ends its program and publishes nothing."""
    volume.plan("build", sleeps_s=100)
    frozen = volume.build("--owner", "frozen")
    until(lambda: volume.calls() == ["download", "convert", "build"])
    (program,) = psutil.Process(frozen.pid).children()
    frozen.send_signal(signal.SIGSTOP)
    volume.plan("build")
    code, said = output(volume.build(stale_s=1.0))
    assert code == 0, said
    frozen.send_signal(signal.SIGCONT)
    code, said = output(frozen)
    assert (code, "took the lock over" in said) == (1, True), said
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE
    assert json.loads((volume.folder / "READY").read_text())["generation"] == 2
    assert not (volume.folder / "FAILED").exists()


def test_a_failed_step_says_which_and_why_and_the_next_attempt_clears_it(volume: Volume) -> None:
    """FAILED and the termination log hold step, exit code, hint and last lines; a retry goes on from the download."""
    volume.plan("build", says="RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", fails_with=7)
    code, said = output(volume.build())
    assert code == 1
    for text in (said, volume.log.read_text()):
        assert "step build ended with exit code 7" in text
        assert "lower build.max_batch_size" in text
        assert "Tried to allocate 2 GiB" in text
    failed = json.loads((volume.folder / "FAILED").read_text())
    assert (failed["step"], failed["exit_code"], failed["generation"]) == ("build", 7, 1)
    assert "Tried to allocate" in (volume.folder / "logs/000001.log").read_text()
    volume.plan("build")
    code, said = output(volume.build())
    assert code == 0, said
    assert not (volume.folder / "FAILED").exists()
    assert volume.calls() == ["download", "convert", "build", "convert", "build"]


def test_who_waited_for_a_build_that_fails_ends_with_its_reason(volume: Volume) -> None:
    """The second Job does not repeat a failure that it has just seen."""
    volume.plan("convert", sleeps_s=1.0, says="ValueError: no such layer", fails_with=1)
    first = volume.build("--owner", "job-1")
    until(lambda: "convert" in volume.calls())
    code, said = output(volume.build("--owner", "job-2"))
    assert (code, "job-1 builds" in said, "no such layer" in said) == (1, True, True), said
    assert output(first)[0] == 1
    assert volume.calls().count("convert") == 1


def test_sigterm_ends_the_program_and_gives_the_lock_back(volume: Volume) -> None:
    """The next builder starts at once, however long a lock may live."""
    volume.plan("convert", sleeps_s=60)
    stopped = volume.build()
    until(lambda: "convert" in volume.calls())
    (program,) = psutil.Process(stopped.pid).children()
    stopped.send_signal(signal.SIGTERM)
    code, said = output(stopped)
    assert (code, "SIGTERM" in said) == (143, True), said
    psutil.wait_procs([program], timeout=10)
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE
    assert not (volume.folder / "FAILED").exists()
    volume.plan("convert")
    code, said = output(volume.build(stale_s=600))
    assert code == 0, said


@pytest.mark.parametrize("by_file", [False, True])
def test_the_token_is_in_no_output(volume: Volume, tmp_path: Path, by_file: bool) -> None:
    """Not even when a program prints its environment: neither stdout, nor logs, nor what is left on the volume."""
    token = "hf_" + "x" * 30
    (tmp_path / "token").write_text(token + "\n")
    volume.plan("build", says=f"url: https://user:{token}@huggingface.co", fails_with=1)
    commands = volume.said["commands"]
    volume.write(commands=commands | {"build": [*commands["build"], f"--token={token}"]})
    given = ("--token-file", str(tmp_path / "token")) if by_file else ()
    code, said = output(volume.build(*given, **({} if by_file else {"HF_TOKEN": token})))
    assert (code, "the environment has ***" in said) == (1, True)
    texts = [said, *(path.read_text() for path in volume.root.rglob("*") if path.is_file()), volume.log.read_text()]
    assert not any(token in text for text in texts)


def test_too_little_space_is_said_before_anything_is_downloaded(volume: Volume) -> None:
    """The sentence has both numbers and what to do."""
    volume.write(min_free_bytes=2**60)
    code, said = output(volume.build())
    assert (code, volume.calls()) == (1, [])
    assert "GiB free" in said
    assert "need about 1073741824.0 GiB" in said
    assert "Enlarge the volume" in said
    assert "Enlarge the volume" in json.loads((volume.folder / "FAILED").read_text())["reason"]


def test_a_model_on_the_volume_is_not_downloaded(volume: Volume) -> None:
    """model.path is relative to the volume's root; a path that is not there is a failure with a sentence."""
    volume.write(model={"path": "models/tiny"})
    code, said = output(volume.build())
    assert (code, "models/tiny is not a folder here" in said) == (1, True)
    model = volume.root / "models/tiny"
    model.mkdir(parents=True)
    (model / "tokenizer.json").write_text("{}")
    code, said = output(volume.build())
    assert code == 0, said
    assert volume.calls() == ["convert", "build"]
    assert model.is_dir()


def test_a_program_that_leaves_nothing_or_is_not_there_is_a_failure(volume: Volume) -> None:
    """Exit code 0 without an engine for every rank does not count, and a missing program is named."""
    commands = volume.said["commands"]
    volume.write(commands={**commands, "build": ["true"]})
    code, said = output(volume.build())
    assert (code, "left no rank0.engine" in said) == (1, True)
    volume.write(commands={**commands, "build": ["trtllm-build-that-is-not-there"]})
    code, said = output(volume.build())
    assert (code, "trtllm-build-that-is-not-there cannot be started" in said) == (1, True)
    volume.write(commands=commands, tensor_parallelism=2)
    code, said = output(volume.build())
    assert (code, "left no rank1.engine" in said) == (1, True)


def test_the_built_in_command_lines_are_those_of_the_image(tmp_path: Path) -> None:
    """Each family has its converter, a quantization the quantizer; options of the settings come last."""
    steps, settings = module("steps"), module("settings")
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    said = settings.parse(
        {
            "model": {"repository": "acme/tiny"},
            "tensor_parallelism": 2,
            "data_type": "bfloat16",
            "build": {"max_batch_size": 16, "max_seq_len": 4096.0, "extra_args": ["--fast_build"]},
        }
    )
    named = steps.values(said, tmp_path, Path("/b")) | {"convert_script": steps.convert_script(said, tmp_path)}
    assert steps.fill(steps.CONVERT, named)[1:] == [
        "/app/examples/models/core/qwen/convert_checkpoint.py", "--model_dir", str(tmp_path),
        "--output_dir", "/b/checkpoint", "--dtype", "bfloat16", "--tp_size", "2", "--pp_size", "1",
    ]  # fmt: skip
    assert steps.fill(steps.BUILD, named) == [
        "trtllm-build", "--checkpoint_dir", "/b/checkpoint", "--output_dir", "/b/engine", "--max_batch_size", "16",
        "--max_seq_len", "4096", "--gemm_plugin", "auto", "--use_paged_context_fmha", "enable", "--fast_build",
    ]  # fmt: skip
    quantized = settings.parse({"model": {"repository": "acme/tiny"}, "quantization": "fp8"})
    named = steps.values(quantized, tmp_path, Path("/b"))
    named["convert_script"] = steps.convert_script(quantized, tmp_path)
    assert steps.fill(steps.CONVERT, named)[1] == "/app/examples/quantization/quantize.py"
    assert steps.fill(steps.CONVERT, named)[-2:] == ["--qformat", "fp8"]


def test_a_command_with_an_unknown_name_or_family_is_refused_by_name(tmp_path: Path) -> None:
    """Neither is passed on to a program that would fail later and say less."""
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
        ("torch.OutOfMemoryError: CUDA out of memory.", "GPU's memory"),
        ("trtllm-build: error: unrecognized arguments: --use_x", "extra_args"),
        ("all is well", None),
    ],
)
def test_common_failures_come_with_advice(line: str, advice: str | None) -> None:
    """What is not known gets no guess."""
    found = module("hints").hint(1, [line])
    assert found is None if advice is None else advice in found
