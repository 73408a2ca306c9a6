"""The engine's key depends on exactly the inputs of the build, and unknown settings are refused."""

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
# another value for each ingredient, as (path, value)
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


def name(values: dict[str, Any], product: str = "NVIDIA-H100-80GB-HBM3", version: str = "1.2.1") -> str:
    return str(key.engine_key(key.ingredients(settings.parse(values), product, version)))


def changed(path: str, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    table = values
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value
    return values


def test_the_key_is_readable() -> None:
    """The key has model, revision, types, parallelism, GPU and version in plain text, so users can find the folder."""
    folder = name(BASE)
    assert re.fullmatch(
        r"meta-llama--Llama-3\.1-8B-Instruct-0e9e39f-bfloat16-none-tp1-pp1-NVIDIA-H100-80GB-HBM3-trtllm1\.2\.1-[0-9a-f]{12}",
        folder,
    )


@pytest.mark.parametrize(("path", "value"), INGREDIENTS, ids=[path for path, _ in INGREDIENTS])
def test_the_key_changes_with_each_ingredient(path: str, value: Any) -> None:
    """The key depends on model, revision, parallelism, data type, quantization and every option of the build."""
    assert name(changed(path, value)) != name(BASE)


def test_the_key_of_a_model_from_elsewhere_has_its_source() -> None:
    """Claim, bucket and endpoint tell models of one folder apart; the folder to which it is copied does not matter."""
    sources = [
        {"path": "/model-source/llama"},
        {"path": "/model-source/llama", "uri": "pvc://one/llama"},
        {"path": "/model-source/llama", "uri": "pvc://two/llama"},
        {"path": "/model-source/llama", "uri": "s3://models/llama"},
        {"path": "/model-source/llama", "uri": "s3://models/llama", "endpoint": "https://minio:9000"},
        {"path": "/model-source/llama", "uri": "ngc://nvidia/llama:1"},
    ]
    names = [name(BASE | {"model": source}) for source in sources]
    assert len(set(names)) == len(sources)
    assert names[3].startswith("s3-models--llama-")
    assert name(BASE | {"model": {**sources[3], "path": "/elsewhere"}}) == names[3]


def test_the_key_of_an_earlier_release_stays() -> None:
    """Engines that are on a volume already are used, not built again."""
    assert name(BASE).endswith("-307790891b05")
    assert name(BASE | {"model": {"path": "models/llama"}}).endswith("-b3747d5420c5")


def test_the_key_changes_with_gpu_and_version() -> None:
    """The key depends on GPU product and TensorRT-LLM version, as engines of others cannot be loaded."""
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
    """The key does not depend on settings for serving, on other allowed GPU products, or on the order of settings."""
    values = BASE | {"serving": serving, "min_free_bytes": min_free_bytes, "keep_model": keep_model}
    values["gpu_product"] = ["NVIDIA-H100-80GB-HBM3", *products]
    items = list(values.items())
    order.shuffle(items)
    assert name(dict(items)) == name(BASE)


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_key_is_a_folder_name(repository: str, revision: str) -> None:
    """For any name of model and revision, the key is one short path component."""
    folder = name(BASE | {"model": {"repository": repository, "revision": revision}})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,220}", folder)
    assert folder.strip(".")


def test_values_rendered_by_helm_have_the_same_key() -> None:
    """Helm renders integers as floats; an empty string and null are the same as a missing setting."""
    values = json.loads(json.dumps(BASE).replace("8192", "8.192e+03"))
    values["convert"] = {"script": "", "extra_args": None}
    assert name(values) == name(BASE)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"modle": {}}, r"unknown setting modle, did you mean model\?"),
        ({"build": {"max_bach_size": 8}}, r"unknown setting build\.max_bach_size, did you mean max_batch_size\?"),
        ({"serving": {"xyz": 1}}, r"unknown setting serving\.xyz\. Known: bls_instance_count"),
        ({"model": {"repository": "a/b", "uri": "s3://models/llama"}}, r"model\.uri says where model\.path comes from"),
        ({"build": {"max_batch_size": 0}}, r"build\.max_batch_size is 0, and must be an integer of at least 1"),
        ({"build": {"max_batch_size": True}}, r"build\.max_batch_size is true"),
        ({"build": {"max_batch_size": 8.5}}, r"build\.max_batch_size is 8\.5"),
        ({"data_type": "int3"}, "data_type is .*auto, float16"),
        ({"serving": {"kv_cache_free_gpu_mem_fraction": 90}}, "above 0 and at most 1"),
        ({"build": {"extra_args": "--fast_build"}}, "a list of strings"),
        ({"build": [1]}, "build is .* must be an object"),
        ({"model": {"repository": "a/b", "path": "c"}}, "exactly one of"),
        ({"model": {"revision": "main"}}, "exactly one of"),
        ([], "the settings file is"),
    ],
)
def test_unknown_and_invalid_settings_are_refused(values: Any, sentence: str) -> None:
    """The message has the name of the setting, and a suggestion if it is misspelled."""
    with pytest.raises(errors.SettingsError, match=sentence):
        settings.parse(BASE | values if isinstance(values, dict) else values)


def nvidia_smi(folder: Path, *names: str, exit_code: int = 0) -> str:
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{name}'\n" for name in names) + f"exit {exit_code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_a_single_product_of_the_settings_is_checked(tmp_path: Path) -> None:
    """The GPU of the machine must match the product in the settings, unless it is unknown or the check is off."""
    program = nvidia_smi(tmp_path, "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    for label in ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3-SHARED", "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb"):
        assert gpu.product((label,), "require", program) == label
    with pytest.raises(errors.SettingsError, match="GPU is NVIDIA-H100-80GB-HBM3, and the settings allow NVIDIA-L40S"):
        gpu.product(("NVIDIA-L40S",), "auto", program)
    assert gpu.product(("NVIDIA-L40S",), "off", program) == "NVIDIA-L40S"
    assert gpu.product(("NVIDIA-L40S",), "auto", str(tmp_path / "none")) == "NVIDIA-L40S"


def test_the_machine_selects_one_of_several_products(tmp_path: Path) -> None:
    """The GPU of the machine selects the product; with the check off it must be set."""
    program, allowed = nvidia_smi(tmp_path, "NVIDIA L40S"), ("NVIDIA-H200", "NVIDIA-L40S")
    assert gpu.product(allowed, "auto", program) == "NVIDIA-L40S"
    with pytest.raises(errors.SettingsError, match="has 2 products"):
        gpu.product(allowed, "off", program)
    assert gpu.product(allowed, "off", program, "NVIDIA-H200") == "NVIDIA-H200"
    with pytest.raises(errors.SettingsError, match="not in gpu_product"):
        gpu.product(allowed, "off", program, "NVIDIA-A100")


def test_a_machine_without_a_usable_gpu_is_refused(tmp_path: Path) -> None:
    """With `require`, as in the build, a missing GPU is an error; different GPUs in one machine always are."""
    with pytest.raises(errors.SettingsError, match="Request a GPU"):
        gpu.product(("NVIDIA-L40S",), "require", nvidia_smi(tmp_path, exit_code=9))
    with pytest.raises(errors.SettingsError, match="different GPUs"):
        gpu.product((), "auto", nvidia_smi(tmp_path, "NVIDIA A", "NVIDIA B"))
