"""Finds the model to test and its tensor names in the server's metadata and configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from loadgen.base.errors import TargetError

Family = Literal["trtllm", "llmapi"]

_REQUIRED: Mapping[Family, frozenset[str]] = {
    # ensemble and tensorrt_llm_bls of the C++ pipeline
    "trtllm": frozenset({"text_input", "max_tokens"}),
    # TensorRT-LLM's LLM API behind the Python backend
    "llmapi": frozenset({"text_input", "sampling_param_max_tokens"}),
}
_STREAM_INPUT: Mapping[Family, str] = {"trtllm": "stream", "llmapi": "streaming"}
_MAX_TOKENS_INPUT: Mapping[Family, str] = {"trtllm": "max_tokens", "llmapi": "sampling_param_max_tokens"}

# Order of preference if several models are compatible: only the blocking BLS model counts queue time correctly.
_PREFERRED = ("tensorrt_llm_bls", "ensemble", "tensorrt_llm")

_OUTPUT = "text_output"
_EMULATED_PARAMETER = "emulated_profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model with the tensors of TensorRT-LLM.

    Attributes:
        name: Its name on the server.
        family: Which tensor names it has.
        batched: Whether shapes have a leading batch dimension.
        decoupled: Whether it may send several responses to a request (required for streaming).
        streams: Whether it has an input that requests streaming.
        counts_tokens: Whether it can return the number of output tokens.
        emulated: Profile of its emulated engine, which its configuration names; None for a real engine.
    """

    name: str
    family: Family
    batched: bool
    decoupled: bool
    streams: bool
    counts_tokens: bool
    emulated: str | None = None

    @property
    def stream_input(self) -> str:
        """Name of the input that requests streaming."""
        return _STREAM_INPUT[self.family]

    @property
    def max_tokens_input(self) -> str:
        """Name of the input that limits the output."""
        return _MAX_TOKENS_INPUT[self.family]


class ControlPlane(Protocol):
    """The calls of Triton's control plane that detection needs; results are JSON of the KServe v2 protocol."""

    def models(self) -> Sequence[str]:
        """Return the names of all ready models."""
        ...

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Return the metadata of a model."""
        ...

    def config(self, model: str) -> Mapping[str, Any]:
        """Return the configuration of a model."""
        ...


def find_model(server: ControlPlane, *, requested: str | None, stream: bool) -> Model:
    """Choose the model to test.

    Args:
        server: Control plane of the server.
        requested: Name of the model that the user requested, if any.
        stream: Whether answers are to be streamed.

    Raises:
        TargetError: no model, or not the requested one, has the tensors of TensorRT-LLM; the message lists all models.
    """
    names = list(server.models())
    if requested is not None and requested not in names:
        raise TargetError(f"the server has no ready model {requested!r}; it serves: {_join(names)}; set --model to one")
    compatible = [model for name in ([requested] if requested else names) if (model := _compatible_model(server, name))]
    if not compatible:
        which = f"model {requested!r} has" if requested else "no model has"
        raise TargetError(
            f"{which} the inputs of TensorRT-LLM (text_input with max_tokens or sampling_param_max_tokens) "
            f"and the output {_OUTPUT}; the server serves: {_join(names)}; deploy a TensorRT-LLM model or set --model"
        )
    by_name = {model.name: model for model in compatible}
    chosen = next((by_name[name] for name in _PREFERRED if name in by_name), None)
    if chosen is None and len(compatible) > 1:
        raise TargetError(f"several models are compatible: {_join(list(by_name))}; set --model to one of them")
    chosen = chosen or compatible[0]
    if stream and not (chosen.decoupled and chosen.streams):
        raise TargetError(
            f"model {chosen.name!r} cannot stream: deploy it with model_transaction_policy {{ decoupled: true }}, "
            f"or run with --no-stream"
        )
    return chosen


def _compatible_model(server: ControlPlane, name: str) -> Model | None:
    metadata = server.metadata(name)
    inputs = {tensor["name"] for tensor in metadata.get("inputs", ())}
    outputs = {tensor["name"] for tensor in metadata.get("outputs", ())}
    family = next((family for family, names in _REQUIRED.items() if names <= inputs), None)
    if family is None or _OUTPUT not in outputs:
        return None
    config = server.config(name)
    steps = config.get("ensemble_scheduling", {}).get("step", ())
    configs = [config, *(server.config(step["model_name"]) for step in steps)]
    return Model(
        name=name,
        family=family,
        batched=int(config.get("max_batch_size", 0)) > 0,
        decoupled=any(map(_decoupled, configs)),
        streams=_STREAM_INPUT[family] in inputs,
        counts_tokens="return_num_output_tokens" in inputs and "num_output_tokens" in outputs,
        emulated=next(filter(None, map(_emulated, configs)), None),
    )


def _decoupled(config: Mapping[str, Any]) -> bool:
    return bool(config.get("model_transaction_policy", {}).get("decoupled", False))


def _emulated(config: Mapping[str, Any]) -> str | None:
    parameter: str | None = config.get("parameters", {}).get(_EMULATED_PARAMETER, {}).get("string_value")
    return parameter


def _join(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"
