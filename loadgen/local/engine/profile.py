"""Engine profiles: what an emulated engine can do, and where its numbers come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import yaml
from pydantic import TypeAdapter, ValidationError

from loadgen.errors import SettingsError
from loadgen.local.engine.config import EngineConfig

_FOLDER = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRate:
    """A published maximum throughput that the profile is held against.

    Attributes:
        input_tokens: Prompt length of every request.
        output_tokens: Output length of every request.
        output_tokens_per_s: Output tokens per second and GPU at maximum load.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    input_tokens: int
    output_tokens: int
    output_tokens_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """A measured decode step that the profile is held against.

    Attributes:
        batch: Generating sequences.
        context_tokens: Context of each of them.
        step_s: Duration of the step.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    batch: int
    context_tokens: int
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """One emulated engine.

    Attributes:
        name: The name in a scenario: ``demo``, ``h100-fp8-llama-3.1-8b`` …
        title: What it emulates, for the report.
        source: Where the numbers come from and what they leave out.
        engine: The numbers.
        bls_instance_count: Instances of ``tensorrt_llm_bls``: requests that generate at once through it.
        published: Maximum throughputs to compare with.
        measured: Decode steps to compare with.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    title: str
    source: str
    engine: EngineConfig
    bls_instance_count: int
    published: tuple[PublishedRate, ...] = ()
    measured: tuple[MeasuredStep, ...] = ()

    def __post_init__(self) -> None:
        if self.bls_instance_count < 1:
            raise ValueError("bls_instance_count must be at least 1")


def profile_names() -> list[str]:
    """Return the names of the profiles that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_profile(name_or_path: str | Path) -> EngineProfile:
    """Read a profile that comes with the package by its name, or any other by the path of its YAML file.

    Raises:
        SettingsError: There is no such profile or the file is not a profile.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = _FOLDER / f"{name_or_path}.yaml"
        if not path.is_file():
            raise SettingsError(
                f"There is no engine profile {str(name_or_path)!r}: choose one of {', '.join(profile_names())}, "
                "or give the path of a .yaml file."
            )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(EngineProfile).validate_python(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"The engine profile {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"The engine profile {path} is not valid: {where}: {first['msg']}.") from error
