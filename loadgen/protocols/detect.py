"""Finds the model to test and its tensor names in the server's metadata and configuration."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from loadgen.base.errors import TargetError
from loadgen.base.proposals import listed, meant
from loadgen.protocols.describe import Config, MalformedError, Tensors, config_in, tensors_in
from loadgen.protocols.engine import TIME_OUTPUTS
from loadgen.protocols.inputs import require_all, scenario_inputs, standard_inputs, takes_flag
from loadgen.protocols.tensors import Tensor, as_tensors

Family = Literal["trtllm", "llmapi"]

_REQUIRED: Mapping[Family, frozenset[str]] = {
    # ensemble and tensorrt_llm_bls of the C++ pipeline
    "trtllm": frozenset({"text_input", "max_tokens"}),
    # TensorRT-LLM's LLM API behind the Python backend
    "llmapi": frozenset({"text_input", "sampling_param_max_tokens"}),
}
_STREAM_INPUT: Mapping[Family, str] = {"trtllm": "stream", "llmapi": "streaming"}
_MAX_TOKENS_INPUT: Mapping[Family, str] = {"trtllm": "max_tokens", "llmapi": "sampling_param_max_tokens"}
_TEXT_INPUT = "text_input"
_COUNT_INPUT = "return_num_output_tokens"
_TIMES_INPUT: Mapping[Family, str] = {"trtllm": "return_perf_metrics", "llmapi": "sampling_param_return_perf_metrics"}

# Order of preference if several models are compatible: only the blocking BLS model counts queue time correctly.
_PREFERRED = ("tensorrt_llm_bls", "ensemble", "tensorrt_llm")

_OUTPUT = "text_output"

_LIMIT_S = 60.0
"""Time for all questions about the models of one server."""
_MAX_STEPS = 256
"""Different models of one ensemble whose configuration is read."""


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
        engine_times: Whether its answers can have the times of a request in the engine.
        tensors: Inputs that every request fills: prompt, token limit, then those for streaming, for the count and for
            the engine's times if the model has them; by default those of TensorRT-LLM.
        inputs: Further inputs with the values that the scenario gives them.
    """

    name: str
    family: Family
    batched: bool
    decoupled: bool
    streams: bool
    counts_tokens: bool
    emulated: str | None = None
    engine_times: bool = False
    tensors: tuple[Tensor, ...] = ()
    inputs: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        if not self.tensors:
            names = _standard(
                self.family, streams=self.streams, counts_tokens=self.counts_tokens, asks_times=self.engine_times
            )
            shape = (1, 1) if self.batched else (1,)
            tensors = tuple(Tensor(name=name, datatype=datatype, shape=shape) for name, datatype in names.items())
            object.__setattr__(self, "tensors", tensors)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> "Model":
        """Build a model from the plain values of a Locust message."""
        return cls(**{**message, **{key: as_tensors(message[key]) for key in ("tensors", "inputs")}})

    def constant(self, *, stream: bool) -> tuple[Tensor, ...]:
        """Return the inputs whose values are the same in every request: all but the first two of `tensors`."""
        flags = (stream, True, True) if self.streams else (True, True)
        named = zip(self.tensors[2:], flags, strict=False)
        return (*self.inputs, *(replace(tensor, values=(flag,)) for tensor, flag in named))

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
        """Return the names of all ready models, one for each version."""
        ...

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Return the metadata of a model."""
        ...

    def config(self, model: str) -> Mapping[str, Any]:
        """Return the configuration of a model."""
        ...


def find_model(
    server: ControlPlane, *, requested: str | None, stream: bool, inputs: Mapping[str, object] | None = None
) -> Model:
    """Choose the model to test.

    Args:
        server: Control plane of the server.
        requested: Name of the model that the user requested, if any.
        stream: Whether answers are to be streamed.
        inputs: Values of further inputs, by name.

    Raises:
        TargetError: no model, or not the requested one, has the tensors of TensorRT-LLM; the message lists all models.
            Or the model cannot stream, requires further inputs, or does not take those that are given.
    """
    names = list(dict.fromkeys(server.models()))
    if requested is not None and requested not in names:
        raise TargetError(
            f"the server has no ready model {requested!r}{meant(requested, names)}; it serves: "
            f"{listed(sorted(names))}; set --model to one"
        )
    deadline = time.monotonic() + _LIMIT_S
    name, tensors, family = _choose(server, names, requested, deadline)
    config = config_in(server.config(name), name)
    streams = _STREAM_INPUT[family] in tensors.inputs
    configs = _with_steps(server, name, config, deadline)
    decoupled = any(each.decoupled for each in configs)  # an ensemble streams if one of its models does
    if stream and not (decoupled and streams):
        raise TargetError(
            f"model {name!r} cannot stream: deploy it with model_transaction_policy {{ decoupled: true }}, "
            f"or run with --no-stream"
        )
    counts_tokens = _COUNT_INPUT in tensors.inputs and "num_output_tokens" in tensors.outputs
    inputs = inputs or {}
    engine_times = tensors.outputs.issuperset(TIME_OUTPUTS)
    times_input = _TIMES_INPUT[family]
    # a scenario may set this input itself
    asks_times = (
        engine_times
        and times_input not in inputs
        and takes_flag(tensors.inputs.get(times_input), batched=config.batched)
    )
    standard = _standard(family, streams=streams, counts_tokens=counts_tokens, asks_times=asks_times)
    filled = standard_inputs(name, tensors.inputs, standard, batched=config.batched)
    given = scenario_inputs(name, tensors.inputs, inputs, standard, batched=config.batched)
    require_all(name, tensors.inputs, config.optional, {*standard, *inputs}, batched=config.batched)
    return Model(
        name=name,
        family=family,
        batched=config.batched,
        decoupled=decoupled,
        streams=streams,
        counts_tokens=counts_tokens,
        emulated=next((each.emulated for each in configs if each.emulated), None),
        engine_times=engine_times,
        tensors=filled,
        inputs=given,
    )


def _choose(
    server: ControlPlane, names: Sequence[str], requested: str | None, deadline: float
) -> tuple[str, Tensors, Family]:
    """Return the model to test, its tensors and its family."""
    compatible: dict[str, tuple[Tensors, Family]] = {}
    malformed: MalformedError | None = None
    for name in [requested] if requested else sorted(names, key=_preference):
        if time.monotonic() > deadline:
            raise TargetError(f"the server did not describe its {len(names)} models within {_LIMIT_S:g} s; set --model")
        if compatible and _preference(next(iter(compatible))) < _preference(name):
            break
        try:
            tensors = tensors_in(server.metadata(name), name)
        except MalformedError as error:  # of one model among others, which may be the one to test
            malformed = malformed or error
            continue
        family = next((family for family, needed in _REQUIRED.items() if needed <= tensors.inputs.keys()), None)
        if family is not None and _OUTPUT in tensors.outputs:
            compatible[name] = tensors, family
    if len(compatible) > 1:
        raise TargetError(f"several models are compatible: {listed(sorted(compatible))}; set --model to one of them")
    if compatible:
        ((name, (tensors, family)),) = compatible.items()
        return name, tensors, family
    if malformed:
        raise malformed
    which = f"model {requested!r} has" if requested else "no model has"
    raise TargetError(
        f"{which} the inputs of TensorRT-LLM (text_input with max_tokens or sampling_param_max_tokens) "
        f"and the output {_OUTPUT}; the server serves: {listed(sorted(names))}; deploy a TensorRT-LLM model "
        "or set --model"
    )


def _preference(name: str) -> int:
    return _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)


def _standard(family: Family, *, streams: bool, counts_tokens: bool, asks_times: bool) -> dict[str, str]:
    """Return the inputs that the load fills itself, with their usual data types."""
    names = {_TEXT_INPUT: "BYTES", _MAX_TOKENS_INPUT[family]: "INT32"}
    names |= {_STREAM_INPUT[family]: "BOOL"} if streams else {}
    names |= {_COUNT_INPUT: "BOOL"} if counts_tokens else {}
    return names | ({_TIMES_INPUT[family]: "BOOL"} if asks_times else {})


def _with_steps(server: ControlPlane, name: str, config: Config, deadline: float) -> list[Config]:
    """Return the configuration of a model and, for an ensemble, those of its models."""
    if len(config.steps) > _MAX_STEPS:
        raise TargetError(
            f"model {name!r} is an ensemble of {len(config.steps)} models, and loadgen reads at most {_MAX_STEPS}; "
            f"set --model to another model"
        )
    configs = [config]
    for step in config.steps:
        if time.monotonic() > deadline:
            raise TargetError(f"the server did not describe the models of {name!r} within {_LIMIT_S:g} s; set --model")
        configs.append(config_in(server.config(step), step))
    return configs
