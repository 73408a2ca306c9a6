"""Reads the settings of an engine and its serving from a JSON file; unknown names are errors.

Every setting but the model has a default. `null` and an empty string mean "not set". Integers may be written as
`65536.0` or `6.5536e+04`, since Helm converts numbers to floats.
"""

import difflib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from errors import SettingsError

DATA_TYPES = ("auto", "float16", "bfloat16", "float32")
QUANTIZATIONS = ("none", "fp8", "nvfp4", "int8_sq", "int4_awq", "w4a8_awq", "int8_wo", "int4_wo")
POLICIES = ("guaranteed_no_evict", "max_utilization")

Reader = Callable[[Any, str], Any]
T = TypeVar("T")


def _invalid(where: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(
        f"{where} is {json.dumps(value, default=str)}, and must be {wanted}. Correct the chart's values."
    )


def _whole(least: int) -> Reader:
    def read(value: Any, where: str) -> int:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise _invalid(where, value, f"an integer of at least {least}")
        return number

    return read


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise _invalid(where, value, "a string")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _invalid(where, value, "true or false")
    return value


def _ratio(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise _invalid(where, value, "a number above 0 and at most 1")
    return float(value)


def _one_of(*names: str) -> Reader:
    def read(value: Any, where: str) -> str:
        if value not in names:
            raise _invalid(where, value, f"one of {', '.join(names)}")
        return str(value)

    return read


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or any(isinstance(item, bool | dict | list | None) for item in value):
        raise _invalid(where, value, "a list of strings")
    return tuple(str(item) for item in value)


def _rising(value: Any, where: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list | tuple) else [None]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in numbers):
        raise _invalid(where, value, "a list of numbers")
    if list(numbers) != sorted(set(numbers)):
        raise _invalid(where, value, "a list of increasing numbers")
    return tuple(float(each) for each in numbers)


def _table(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _invalid(where, value, "an object of names and values")
    read = {}
    for name, item in value.items():
        if item is None or isinstance(item, dict | list):
            raise _invalid(f"{where}.{name}", item, "a string, a number, true or false")
        whole = isinstance(item, float) and item.is_integer()
        read[name] = str(item).lower() if isinstance(item, bool) else str(int(item) if whole else item)
    return read


def _setting(reader: Reader, default: Any) -> Any:
    return field(default=default, metadata={"read": reader})


def _group(cls: type) -> dict[str, Reader]:
    return {"read": lambda value, where: _read(cls, value, where)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Source of the weights: a Hugging Face repository at a revision, or a folder.

    `uri` and `endpoint` say where the folder came from; the engine is theirs, wherever the folder is.
    """

    repository: str | None = _setting(_text, None)
    revision: str = _setting(_text, "main")
    path: str | None = _setting(_text, None)
    uri: str | None = _setting(_text, None)
    endpoint: str | None = _setting(_text, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Options of `trtllm-build`; without a value TensorRT-LLM's default applies."""

    max_batch_size: int = _setting(_whole(1), 64)
    max_input_len: int | None = _setting(_whole(1), None)
    max_seq_len: int | None = _setting(_whole(1), None)
    max_num_tokens: int | None = _setting(_whole(1), None)
    extra_args: tuple[str, ...] = _setting(_texts, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert:
    """The script that converts the model to a TensorRT-LLM checkpoint; by default chosen by the model's family."""

    script: str | None = _setting(_text, None)
    extra_args: tuple[str, ...] = _setting(_texts, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Command lines that replace the built-in ones, one item per argument; `{name}` as in `steps.py`."""

    download: tuple[str, ...] | None = _setting(_texts, None)
    convert: tuple[str, ...] | None = _setting(_texts, None)
    build: tuple[str, ...] | None = _setting(_texts, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Settings of the Triton model repository; none of them needs another engine.

    `bls_instance_count` and `triton_max_batch_size` default to the engine's `max_batch_size`. With as many blocking
    `tensorrt_llm_bls` instances as the engine has slots, Triton's queue of that model holds exactly the requests that
    wait for a slot.

    `first_response_buckets_ms` are the buckets of that model's first-response histogram. Without them Triton's default
    applies, which ends at 5 s. Triton before 24.11 does not support them.
    """

    bls_instance_count: int | None = _setting(_whole(1), None)
    triton_max_batch_size: int | None = _setting(_whole(1), None)
    preprocessing_instance_count: int = _setting(_whole(1), 4)
    postprocessing_instance_count: int = _setting(_whole(1), 4)
    kv_cache_free_gpu_mem_fraction: float = _setting(_ratio, 0.9)
    enable_kv_cache_reuse: bool = _setting(_flag, True)
    enable_chunked_context: bool = _setting(_flag, True)
    batch_scheduler_policy: str = _setting(_one_of(*POLICIES), "guaranteed_no_evict")
    max_queue_size: int = _setting(_whole(0), 0)
    max_queue_delay_microseconds: int = _setting(_whole(0), 0)
    stats_check_period_ms: int = _setting(_whole(1), 100)
    cancellation_check_period_ms: int = _setting(_whole(1), 100)
    accumulate_tokens: bool = _setting(_flag, False)
    first_response_buckets_ms: tuple[float, ...] = _setting(_rising, ())
    parameters: dict[str, str] = field(default_factory=dict, metadata={"read": _table})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of an engine and its serving."""

    model: Model = field(default_factory=Model, metadata=_group(Model))
    data_type: str = _setting(_one_of(*DATA_TYPES), "auto")
    quantization: str = _setting(_one_of(*QUANTIZATIONS), "none")
    tensor_parallelism: int = _setting(_whole(1), 1)
    pipeline_parallelism: int = _setting(_whole(1), 1)
    gpu_product: tuple[str, ...] = _setting(_texts, ())
    trtllm_version: str | None = _setting(_text, None)
    build: Build = field(default_factory=Build, metadata=_group(Build))
    convert: Convert = field(default_factory=Convert, metadata=_group(Convert))
    commands: Commands = field(default_factory=Commands, metadata=_group(Commands))
    min_free_bytes: int = _setting(_whole(0), 50 * 2**30)
    keep_model: bool = _setting(_flag, False)
    serving: Serving = field(default_factory=Serving, metadata=_group(Serving))

    @property
    def world_size(self) -> int:
        """Number of GPUs and MPI ranks."""
        return self.tensor_parallelism * self.pipeline_parallelism


def _read(cls: type[T], data: Any, where: str = "") -> T:
    if not isinstance(data, dict):
        raise _invalid(where or "the settings file", data, "an object")
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    given = {}
    for name, value in data.items():
        path = f"{where}.{name}" if where else name
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise SettingsError(
                f"unknown setting {path}" + (f", did you mean {near[0]}?" if near else f". Known: {', '.join(known)}.")
            )
        if value is not None and value != "":
            given[name] = known[name].metadata["read"](value, path)
    return cls(**given)


def parse(data: Any) -> Settings:
    """Checks settings that are already parsed from JSON.

    Raises:
        SettingsError: A name is unknown, a value is invalid, or not exactly one model is set.
    """
    settings = _read(Settings, data)
    if (settings.model.repository is None) == (settings.model.path is None):
        raise SettingsError(
            "set exactly one of model.repository (Hugging Face) and model.path (a folder on the volume)."
        )
    if settings.model.uri is not None and settings.model.path is None:
        raise SettingsError("model.uri says where model.path comes from: set model.path, too.")
    return settings


def load(path: str | os.PathLike[str]) -> Settings:
    """Reads the settings file.

    Raises:
        SettingsError: The file cannot be read, is not JSON, or `parse` rejects it.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise SettingsError(
            f"cannot read the settings file {path}: {error.strerror}. Mount it or correct --settings."
        ) from error
    try:
        return parse(json.loads(text))
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path} is not JSON: {error}.") from error
