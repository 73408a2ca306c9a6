"""The settings of one engine and of how it is served, read from one JSON file; an unknown name is an error.

Every key has a default except the model. `null` and an empty string mean "not given". Whole numbers may be written as
`65536.0` or `6.5536e+04`: a chart's numbers pass through floats on their way here.
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


def _refuse(where: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(
        f"{where} is {json.dumps(value, default=str)}, but must be {wanted}. Correct the chart's values."
    )


def _whole(least: int) -> Reader:
    def read(value: Any, where: str) -> int:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise _refuse(where, value, f"a whole number of at least {least}")
        return number

    return read


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise _refuse(where, value, "a text")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _refuse(where, value, "true or false")
    return value


def _ratio(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise _refuse(where, value, "a number above 0 and up to 1")
    return float(value)


def _one_of(*names: str) -> Reader:
    def read(value: Any, where: str) -> str:
        if value not in names:
            raise _refuse(where, value, f"one of {', '.join(names)}")
        return str(value)

    return read


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or any(isinstance(item, bool | dict | list | None) for item in value):
        raise _refuse(where, value, "a list of texts")
    return tuple(str(item) for item in value)


def _rising(value: Any, where: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list | tuple) else [None]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in numbers):
        raise _refuse(where, value, "a list of numbers")
    if list(numbers) != sorted(set(numbers)):
        raise _refuse(where, value, "a list of numbers, each above the one before")
    return tuple(float(each) for each in numbers)


def _table(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _refuse(where, value, "a table of names and values")
    read = {}
    for name, item in value.items():
        if item is None or isinstance(item, dict | list):
            raise _refuse(f"{where}.{name}", item, "a text, a number, true or false")
        whole = isinstance(item, float) and item.is_integer()
        read[name] = str(item).lower() if isinstance(item, bool) else str(int(item) if whole else item)
    return read


def _setting(reader: Reader, default: Any) -> Any:
    return field(default=default, metadata={"read": reader})


def _group(cls: type) -> dict[str, Reader]:
    return {"read": lambda value, where: _read(cls, value, where)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Where the weights come from: a Hugging Face repository at a revision, or a folder on the volume."""

    repository: str | None = _setting(_text, None)
    revision: str = _setting(_text, "main")
    path: str | None = _setting(_text, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Options of `trtllm-build`; one that is not given is left to TensorRT-LLM."""

    max_batch_size: int = _setting(_whole(1), 64)
    max_input_len: int | None = _setting(_whole(1), None)
    max_seq_len: int | None = _setting(_whole(1), None)
    max_num_tokens: int | None = _setting(_whole(1), None)
    extra_args: tuple[str, ...] = _setting(_texts, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert:
    """The program that turns the model into a TensorRT-LLM checkpoint; `None` chooses it by the model's family."""

    script: str | None = _setting(_text, None)
    extra_args: tuple[str, ...] = _setting(_texts, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Whole command lines in place of the built-in ones, one item an argument; `{name}` as in `steps.py`."""

    download: tuple[str, ...] | None = _setting(_texts, None)
    convert: tuple[str, ...] | None = _setting(_texts, None)
    build: tuple[str, ...] | None = _setting(_texts, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What the Triton model repository says; none of it needs another engine.

    `bls_instance_count` and `triton_max_batch_size` follow the engine's `max_batch_size` when they are not given. As
    many blocking `tensorrt_llm_bls` instances as the engine takes at once make Triton's queue of that model hold
    exactly the requests that the engine has no room for.

    `first_response_buckets_ms` are those of the front model's histogram; none leaves Triton's, which end at 5 s. Triton
    before 24.11 does not know them.
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
    """One engine and how it is served."""

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
        """GPUs, and MPI ranks, of one serving pod."""
        return self.tensor_parallelism * self.pipeline_parallelism


def _read(cls: type[T], data: Any, where: str = "") -> T:
    if not isinstance(data, dict):
        raise _refuse(where or "the settings file", data, "a table")
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
        SettingsError: A name is unknown, a value has another type or range, or the model is not said exactly once.
    """
    settings = _read(Settings, data)
    if (settings.model.repository is None) == (settings.model.path is None):
        raise SettingsError(
            "set exactly one of model.repository (Hugging Face) and model.path (a folder on the volume)."
        )
    return settings


def load(path: str | os.PathLike[str]) -> Settings:
    """Reads the settings file.

    Raises:
        SettingsError: It cannot be read, is no JSON, or says something that `parse` refuses.
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
