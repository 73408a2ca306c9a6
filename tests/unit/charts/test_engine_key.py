"""The engine's key changes with what changes the engine, and settings that nobody knows are refused."""

import copy
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.charts.engine_programs import module

key, settings, errors, gpu = module("key"), module("settings"), module("errors"), module("gpu")
BASE: dict[str, Any] = {
    "model": {"repository": "meta-llama/Llama-3.1-8B-Instruct", "revision": "0e9e39f249a16976918f6564b8830bc894c89659"},
    "data_type": "bfloat16",
    "gpu_product": ["NVIDIA-H100-80GB-HBM3"],
    "trtllm_version": "1.2.1",
    "build": {"max_batch_size": 64, "max_input_len": 4096, "max_seq_len": 8192, "max_num_tokens": 8192},
}
# one other value for each ingredient, as (path, value)
INGREDIENTS = [
    ("model", {"repository": "meta-llama/Llama-3.1-70B-Instruct", "revision": BASE["model"]["revision"]}),
    ("model", {"path": "models/llama", "revision": BASE["model"]["revision"]}),
    ("model.revision", "main"),
    ("data_type", "float16"),
    ("quantization", "fp8"),
    ("tensor_parallelism", 2),
    ("pipeline_parallelism", 2),
    ("build.max_batch_size", 32),
    ("build.max_input_len", 2048),
    ("build.max_seq_len", None),
    ("build.max_num_tokens", 4096),
    ("build.extra_args", ["--fast_build"]),
    ("convert.script", "/app/examples/models/core/gpt/convert_checkpoint.py"),
    ("convert.extra_args", ["--use_parallel_embedding"]),
    ("commands.build", ["trtllm-build", "{build_args}"]),
]


def name(said: dict[str, Any], product: str = "NVIDIA-H100-80GB-HBM3", version: str = "1.2.1") -> str:
    return str(key.engine_key(key.ingredients(settings.parse(said), product, version)))


def changed(path: str, value: Any) -> dict[str, Any]:
    said = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    at = said
    for parent in parents:
        at = at.setdefault(parent, {})
    at[last] = value
    return said


def test_the_key_reads_as_what_it_is() -> None:
    """A person finds the folder of a deployment without computing a hash."""
    found = name(BASE)
    assert re.fullmatch(
        r"meta-llama--Llama-3\.1-8B-Instruct-0e9e39f-bfloat16-none-tp1-pp1-NVIDIA-H100-80GB-HBM3-trtllm1\.2\.1-[0-9a-f]{12}",
        found,
    )


@pytest.mark.parametrize(("path", "value"), INGREDIENTS, ids=[path for path, _ in INGREDIENTS])
def test_the_key_changes_with_each_ingredient(path: str, value: Any) -> None:
    """Model, revision, parallelism, data type, quantization and every option of the build."""
    assert name(changed(path, value)) != name(BASE)


def test_the_key_changes_with_gpu_and_version() -> None:
    """An engine of another GPU product or TensorRT-LLM version does not load."""
    names = {name(BASE), name(BASE, product="NVIDIA-H200"), name(BASE, version="1.2.0")}
    assert len(names) == 3


@given(
    serving=st.fixed_dictionaries(
        {},
        optional={
            "bls_instance_count": st.integers(1, 512),
            "kv_cache_free_gpu_mem_fraction": st.floats(0.01, 1),
            "enable_chunked_context": st.booleans(),
            "parameters": st.dictionaries(st.sampled_from(["max_beam_width", "decoding_mode"]), st.text(max_size=5)),
        },
    ),
    min_free_bytes=st.integers(0, 2**50),
    keep_model=st.booleans(),
    products=st.lists(st.text("ABC-0123", min_size=1), max_size=3),
    order=st.randoms(),
)
def test_nothing_else_changes_the_key(
    serving: dict[str, Any], min_free_bytes: int, keep_model: bool, products: list[str], order: Any
) -> None:
    """Neither how the engine is served, nor where else pods may land, nor the order of the settings."""
    said = BASE | {"serving": serving, "min_free_bytes": min_free_bytes, "keep_model": keep_model}
    said["gpu_product"] = ["NVIDIA-H100-80GB-HBM3", *products]
    items = list(said.items())
    order.shuffle(items)
    assert name(dict(items)) == name(BASE)


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_key_is_a_folder_name(repository: str, revision: str) -> None:
    """Whatever model and revision are called, it is one short path component."""
    found = name(BASE | {"model": {"repository": repository, "revision": revision}})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,220}", found)
    assert found.strip(".")


def test_numbers_that_passed_through_a_chart_are_the_same_numbers() -> None:
    """Helm hands whole numbers over as floats; empty texts and null mean not given."""
    said = json.loads(json.dumps(BASE).replace("8192", "8.192e+03"))
    said["convert"] = {"script": "", "extra_args": None}
    assert name(said) == name(BASE)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"modle": {}}, r"unknown setting modle, did you mean model\?"),
        ({"build": {"max_bach_size": 8}}, r"unknown setting build\.max_bach_size, did you mean max_batch_size\?"),
        ({"serving": {"xyz": 1}}, r"unknown setting serving\.xyz\. Known: bls_instance_count"),
        ({"build": {"max_batch_size": 0}}, r"build\.max_batch_size is 0, but must be a whole number of at least 1"),
        ({"build": {"max_batch_size": True}}, r"build\.max_batch_size is true"),
        ({"build": {"max_batch_size": 8.5}}, r"build\.max_batch_size is 8\.5"),
        ({"data_type": "int3"}, "data_type is .*auto, float16"),
        ({"serving": {"kv_cache_free_gpu_mem_fraction": 90}}, "above 0 and up to 1"),
        ({"build": {"extra_args": "--fast_build"}}, "a list of texts"),
        ({"build": [1]}, "build is .* must be a table"),
        ({"model": {"repository": "a/b", "path": "c"}}, "exactly one of"),
        ({"model": {"revision": "main"}}, "exactly one of"),
        ([], "the settings file is"),
    ],
)
def test_settings_that_nobody_knows_are_refused_by_name(said: Any, sentence: str) -> None:
    """A misspelt option must not build another engine than was meant."""
    with pytest.raises(errors.SettingsError, match=sentence):
        settings.parse(BASE | said if isinstance(said, dict) else said)


def nvidia_smi(folder: Path, *names: str, exit_code: int = 0) -> str:
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{name}'\n" for name in names) + f"exit {exit_code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_one_product_is_taken_from_the_settings_and_checked(tmp_path: Path) -> None:
    """The machine's name and the node label agree; on another machine a sentence names both."""
    here = nvidia_smi(tmp_path, "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    for label in ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3-SHARED", "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb"):
        assert gpu.product((label,), "require", here) == label
    with pytest.raises(errors.SettingsError, match="GPU is NVIDIA-H100-80GB-HBM3, the settings allow NVIDIA-L40S"):
        gpu.product(("NVIDIA-L40S",), "auto", here)
    assert gpu.product(("NVIDIA-L40S",), "off", here) == "NVIDIA-L40S"
    assert gpu.product(("NVIDIA-L40S",), "auto", str(tmp_path / "none")) == "NVIDIA-L40S"


def test_of_several_products_the_machine_decides(tmp_path: Path) -> None:
    """Each product has its engine; who cannot be asked must be told."""
    here, allowed = nvidia_smi(tmp_path, "NVIDIA L40S"), ("NVIDIA-H200", "NVIDIA-L40S")
    assert gpu.product(allowed, "auto", here) == "NVIDIA-L40S"
    with pytest.raises(errors.SettingsError, match="names 2 products"):
        gpu.product(allowed, "off", here)
    assert gpu.product(allowed, "off", here, "NVIDIA-H200") == "NVIDIA-H200"
    with pytest.raises(errors.SettingsError, match="not in gpu_product"):
        gpu.product(allowed, "off", here, "NVIDIA-A100")


def test_a_machine_without_a_usable_gpu_is_said_where_one_is_needed(tmp_path: Path) -> None:
    """`require` is for the build; mixed GPUs are never accepted."""
    with pytest.raises(errors.SettingsError, match=r"Request nvidia\.com/gpu"):
        gpu.product(("NVIDIA-L40S",), "require", nvidia_smi(tmp_path, exit_code=9))
    with pytest.raises(errors.SettingsError, match="different GPUs"):
        gpu.product((), "auto", nvidia_smi(tmp_path, "NVIDIA A", "NVIDIA B"))
