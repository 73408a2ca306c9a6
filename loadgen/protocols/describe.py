"""Reads metadata and configuration of a model, which a server or a proxy in front of it may send malformed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadgen.base.errors import TargetError
from loadgen.base.text import clean
from loadgen.protocols.tensors import Tensor

_MAX_NAME = 255
"""Characters of a model's name, which is the name of a folder."""
_EMULATED_PARAMETER = "emulated_profile"


class MalformedError(TargetError):
    """The server describes a model in a way that the KServe v2 protocol does not allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """The tensors in a model's metadata: inputs by name, and names of outputs."""

    inputs: Mapping[str, Tensor]
    outputs: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the load needs of a model's configuration.

    Attributes:
        batched: Whether shapes have a leading batch dimension.
        decoupled: Whether the model itself may send several responses to a request.
        optional: Inputs that a request may omit.
        steps: Names of the models of an ensemble.
        emulated: Profile of its emulated engine, which a parameter names; None for a real engine.
    """

    batched: bool
    decoupled: bool
    optional: frozenset[str]
    steps: tuple[str, ...]
    emulated: str | None = None


def model_names(index: object) -> list[str]:
    """Return the names of the ready models in a repository index; several versions of a model are one model.

    Raises:
        MalformedError: it is not an index.
    """
    names: dict[str, None] = {}
    for entry in _list(index, "the repository index"):
        if not isinstance(entry, dict):
            raise _malformed("the repository index", "has an entry that is not an object", entry)
        name = entry.get("name")
        if isinstance(name, str) and _is_name(name) and entry.get("state") in (None, "", "READY"):
            names[name] = None
    return list(names)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME and text.isprintable()


def tensors_in(metadata: object, model: str) -> Tensors:
    """Read the metadata of a model.

    Raises:
        MalformedError: its tensors are not tensors.
    """
    what = f"the metadata of model {clean(model, 64)!r}"
    values = _mapping(metadata, what)
    inputs = [_tensor(entry, f"an input in {what}") for entry in _list(values.get("inputs"), f"inputs in {what}")]
    outputs = [_tensor(entry, f"an output in {what}") for entry in _list(values.get("outputs"), f"outputs in {what}")]
    return Tensors(
        inputs={tensor.name: tensor for tensor in inputs}, outputs=frozenset(tensor.name for tensor in outputs)
    )


def config_in(config: object, model: str) -> Config:
    """Read the configuration of a model.

    Raises:
        MalformedError: it is not a configuration.
    """
    what = f"the configuration of model {clean(model, 64)!r}"
    values = _mapping(config, what)
    batch = values.get("max_batch_size") or 0
    if not isinstance(batch, int):
        raise _malformed(f"max_batch_size in {what}", "is not an integer", batch)
    ensemble = _mapping(values.get("ensemble_scheduling"), f"ensemble_scheduling in {what}")
    steps: dict[str, None] = {}
    for step in _list(ensemble.get("step"), f"step in {what}"):
        name = _mapping(step, f"a step in {what}").get("model_name")
        if not isinstance(name, str):
            raise _malformed(f"model_name of a step in {what}", "is not a name", name)
        steps[name] = None
    inputs = [_mapping(entry, f"an input in {what}") for entry in _list(values.get("input"), f"input in {what}")]
    policy = _mapping(values.get("model_transaction_policy"), f"model_transaction_policy in {what}")
    return Config(
        batched=batch > 0,
        decoupled=policy.get("decoupled") is True,
        optional=frozenset(str(entry.get("name")) for entry in inputs if entry.get("optional") is True),
        steps=tuple(steps),
        emulated=_emulated(values),
    )


def _emulated(config: Mapping[str, Any]) -> str | None:
    parameters = config.get("parameters")
    parameter = parameters.get(_EMULATED_PARAMETER) if isinstance(parameters, Mapping) else None
    profile = parameter.get("string_value") if isinstance(parameter, Mapping) else None
    return clean(profile, 64) if isinstance(profile, str) and profile else None


def _tensor(entry: object, what: str) -> Tensor:
    values = _mapping(entry, what)
    name, datatype = values.get("name"), values.get("datatype") or ""
    if not isinstance(name, str) or not name:
        raise _malformed(what, "has no name", entry)
    if not isinstance(datatype, str):
        raise _malformed(f"the data type of {clean(name, 64)!r}, {what},", "is not a name", datatype)
    lengths = _list(values.get("shape"), f"the shape of {clean(name, 64)!r}, {what},")
    try:
        # gRPC's JSON mapping writes 64-bit integers as strings
        shape = tuple(int(length) for length in lengths if not isinstance(length, bool | float))
    except (TypeError, ValueError):
        shape = ()
    if len(shape) < len(lengths):
        raise _malformed(f"the shape of {clean(name, 64)!r}, {what},", "is not a list of integers", lengths)
    return Tensor(name=name, datatype=datatype, shape=shape)


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return an object of an answer; a missing one is empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _malformed(what, "is not an object", value)
    return value


def _list(value: object, what: str) -> list[Any]:
    """Return a list of an answer; a missing one is empty."""
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise _malformed(what, "is not a list", value)
    return list(value)


def _malformed(what: str, problem: str, value: object) -> MalformedError:
    found = clean(repr(value) if isinstance(value, str | int | float | bool) else type(value).__name__, 80)
    return MalformedError(
        f"{what} {problem} (found {found}): the server, or a proxy in front of it, does not follow the KServe v2 "
        f"protocol; check the address, or set --model to another model"
    )
