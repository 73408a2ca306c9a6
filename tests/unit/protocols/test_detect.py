"""The model under test: versions, data types and shapes, required inputs, and descriptions that are malformed."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from loadgen.base.connection import DIRECT
from loadgen.base.errors import ExitCode, TargetError
from loadgen.protocols.describe import model_names
from loadgen.protocols.detect import Model, find_model
from loadgen.protocols.engine import TIME_OUTPUTS
from loadgen.protocols.wire.grpc_codec import GrpcCodec

TEXT = {"name": "text_input", "datatype": "BYTES", "shape": [-1, 1]}
LIMIT = {"name": "max_tokens", "datatype": "INT32", "shape": [-1, 1]}
STREAM = {"name": "stream", "datatype": "BOOL", "shape": [-1, 1]}
OUTPUT = {"name": "text_output", "datatype": "BYTES", "shape": [-1, -1]}
DECOUPLED = {"decoupled": True}
KEYS = st.sampled_from(
    [
        "name",
        "inputs",
        "outputs",
        "shape",
        "datatype",
        "input",
        "optional",
        "max_batch_size",
        "ensemble_scheduling",
        "step",
        "model_name",
        "model_transaction_policy",
        "decoupled",
        "models",
        "state",
    ]
)


def tensor(name: str, datatype: str, *shape: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def metadata(*more: dict[str, Any], limit: dict[str, Any] = LIMIT) -> dict[str, Any]:
    return {"inputs": [TEXT, limit, STREAM, *more], "outputs": [OUTPUT]}


def config(*optional: str, batch: int = 8) -> dict[str, Any]:
    inputs = [{"name": name, "optional": True} for name in optional]
    return {"max_batch_size": batch, "model_transaction_policy": DECOUPLED, "input": inputs}


class Server:
    """A hand-written control plane with one model, and whatever it says about it."""

    def __init__(self, metadata: Any, config: Any, names: Sequence[str] = ("llm",)) -> None:
        self._metadata, self._config, self._names = metadata, config, names
        self.configs_read = 0

    def models(self) -> Sequence[str]:
        return self._names

    def metadata(self, model: str) -> Mapping[str, Any]:
        return self._metadata  # type: ignore[no-any-return]

    def config(self, model: str) -> Mapping[str, Any]:
        self.configs_read += 1
        return self._config  # type: ignore[no-any-return]


def found(metadata: Any, config: Any, **inputs: object) -> Model:
    return find_model(Server(metadata, config), requested=None, stream=True, inputs=inputs)


def sent(model: Model, max_tokens: int = 300) -> dict[str, tuple[str, list[int], bytes]]:
    """Return the inputs of a gRPC request: data type, shape and content by name."""
    message = GrpcCodec(model, stream=True, connection=DIRECT).encode("hi", max_tokens)
    request = pb.ModelInferRequest.FromString(message[5:])
    raw = request.raw_input_contents
    return {each.name: (each.datatype, list(each.shape), raw[n]) for n, each in enumerate(request.inputs)}


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        ("INT32", (300).to_bytes(4, "little")),
        ("UINT32", (300).to_bytes(4, "little")),
        ("INT64", (300).to_bytes(8, "little")),
        ("UINT64", (300).to_bytes(8, "little")),
    ],
)
def test_the_token_limit_has_the_declared_data_type(datatype: str, raw: bytes) -> None:
    """A model that declares max_tokens as UINT32 or with 64 bits gets that."""
    model = found(metadata(limit=tensor("max_tokens", datatype, -1, 1)), config())
    assert sent(model)["max_tokens"] == (datatype, [1, 1], raw)


@pytest.mark.parametrize(
    ("batch", "shape", "expected"), [(8, [-1, 1], [1, 1]), (0, [1], [1]), (0, [-1], [1]), (0, [1, 1], [1, 1])]
)
def test_shapes_are_the_declared_ones(batch: int, shape: list[int], expected: list[int]) -> None:
    """One element has as many dimensions as the model declares, with and without a batch dimension."""
    inputs = [tensor(name, kind, *shape) for name, kind in (("text_input", "BYTES"), ("max_tokens", "INT32"))]
    model = found({"inputs": [*inputs, STREAM], "outputs": [OUTPUT]}, config(batch=batch))
    assert sent(model)["text_input"] == ("BYTES", expected, b"\x02\x00\x00\x00hi")


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        (tensor("max_tokens", "FP32", -1, 1), "declares its input max_tokens as FP32"),
        (tensor("max_tokens", "INT8", -1, 1), "declares its input max_tokens as INT8"),
        (tensor("max_tokens", "INT32", -1, 2), "with the shape [-1, 2]"),
    ],
)
def test_a_token_limit_that_cannot_be_sent_is_refused(limit: dict[str, Any], problem: str) -> None:
    """A type or shape that cannot hold one number of tokens is refused before the load."""
    with pytest.raises(TargetError, match=re.escape(problem)):
        found(metadata(limit=limit), config())


WORDS = tensor("bad_words", "BYTES", -1, -1)
STOP = tensor("stop_words", "BYTES", -1, -1)


def test_required_inputs_are_refused_before_the_load() -> None:
    """The message names the inputs that the load does not fill, and shows how to give them; the exit code is 2."""
    with pytest.raises(TargetError) as caught:
        found(metadata(WORDS, STOP, tensor("seed", "UINT64", -1, 1)), config("seed"))
    assert str(caught.value) == (
        "model 'llm' requires inputs that the load does not fill: bad_words (BYTES [-1, -1]), stop_words (BYTES "
        '[-1, -1]); give each a value in the scenario, such as inputs={"bad_words": ["text"], "stop_words": ["text"]}, '
        "or declare it optional in config.pbtxt"
    )
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("declared", "value", "shape", "raw"),
    [
        (WORDS, ["no", "nor"], [1, 2], b"\x02\x00\x00\x00no\x03\x00\x00\x00nor"),
        (WORDS, "no", [1, 1], b"\x02\x00\x00\x00no"),
        (WORDS, [], [1, 0], b""),
        (tensor("min_length", "INT32", -1, 1), 8, [1, 1], b"\x08\x00\x00\x00"),
        (tensor("end_id", "INT32", "-1", "1"), [-1], [1, 1], b"\xff\xff\xff\xff"),
        (tensor("temperature", "FP32", -1, 1), 0.5, [1, 1], b"\x00\x00\x00\x3f"),
        (tensor("temperature", "FP32", -1, 1), 2, [1, 1], b"\x00\x00\x00\x40"),
        (tensor("top_p", "FP16", -1, 1), 0.5, [1, 1], b"\x00\x38"),
        (tensor("top_p", "BF16", -1, 1), 0.5, [1, 1], b"\x00\x3f"),
        (tensor("lora_task_id", "UINT64", -1, 1), 2**64 - 1, [1, 1], b"\xff" * 8),
        (tensor("exclude_input_in_output", "BOOL", -1, 1), True, [1, 1], b"\x01"),
        (
            tensor("lora_config", "INT32", -1, -1, 3),
            [[1, 2, 3], [4, 5, 6]],
            [1, 2, 3],
            b"".join(n.to_bytes(4, "little") for n in range(1, 7)),
        ),
    ],
)
def test_inputs_of_the_scenario(declared: dict[str, Any], value: object, shape: list[int], raw: bytes) -> None:
    """Values get the declared type, and leading dimensions of length one; a required input is thereby filled."""
    model = found(metadata(declared), config(), **{declared["name"]: value})
    assert sent(model)[declared["name"]] == (declared["datatype"], shape, raw)


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        (tensor("min_length", "INT32", -1, 1), "8", "takes numbers, not '8'"),
        (tensor("min_length", "INT32", -1, 1), True, "takes numbers, not True"),
        (tensor("min_length", "INT32", -1, 1), 0.5, "takes integers, not 0.5"),
        (tensor("min_length", "INT32", -1, 1), 2**31, "2147483648 is out of its range"),
        (tensor("min_length", "UINT32", -1, 1), -1, "-1 is out of its range"),
        (tensor("temperature", "FP32", -1, 1), 1e39, "1e+39 is out of its range"),
        (tensor("min_length", "INT32", -1, 1), [1, 2], "takes the shape [1] (-1 is any length), the value has [2]"),
        (WORDS, [["a"], ["b"]], "takes the shape [-1] (-1 is any length), the value has [2, 1]"),
        (WORDS, ["a", ["b"]], "takes rows of equal length"),
        (WORDS, 1, "takes text, not 1"),
        (tensor("stop", "BOOL", -1, 1), 1, "takes True or False, not 1"),
        (tensor("x", "JSON", -1, 1), 1, "has the data type JSON"),
    ],
)
def test_values_that_do_not_fit_are_refused(declared: dict[str, Any], value: object, problem: str) -> None:
    """A value of another type, range or shape than declared is refused before the load, naming the input."""
    with pytest.raises(TargetError, match=f"inputs of the scenario: {declared['name']} .*{re.escape(problem)}"):
        found(metadata(declared), config(declared["name"]), **{declared["name"]: value})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "min_lenght",
            "model 'llm' has no input 'min_lenght' (did you mean 'min_length'?); it takes: max_tokens, min_l",
        ),
        ("text_input", "text_input is filled by the load itself; remove it"),
        ("stream", "stream is filled by the load itself; remove it"),
    ],
)
def test_inputs_that_the_scenario_cannot_give(name: str, problem: str) -> None:
    """An input that the model does not have, or that the load fills itself, is refused."""
    with pytest.raises(TargetError, match=re.escape(problem)):
        found(metadata(tensor("min_length", "INT32", -1, 1)), config("min_length"), **{name: 1})


PERF = tensor("return_perf_metrics", "BOOL", -1, 1)
TIMES = [tensor(name, "INT64", -1, 1) for name in TIME_OUTPUTS]


def test_times_of_the_engine_are_asked_for_where_they_are_declared() -> None:
    """Input and outputs of TensorRT-LLM's performance metrics; the model of the LLM API calls its input otherwise."""
    declared = metadata(PERF)
    model = found(declared | {"outputs": [OUTPUT, *TIMES]}, config("return_perf_metrics"))
    assert model.engine_times
    assert sent(model)["return_perf_metrics"] == ("BOOL", [1, 1], b"\x01")
    inputs = [
        tensor("text_input", "BYTES", -1),
        tensor("sampling_param_max_tokens", "INT32", 1),
        tensor("streaming", "BOOL", 1),
        tensor("sampling_param_return_perf_metrics", "BOOL", 1),
    ]
    of_llmapi = found({"inputs": inputs, "outputs": [OUTPUT, *TIMES]}, config(batch=0))
    assert of_llmapi.engine_times
    assert sent(of_llmapi)["sampling_param_return_perf_metrics"] == ("BOOL", [1], b"\x01")


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([], []),
        ([PERF], []),
        ([PERF], TIMES[:3]),
        ([], TIMES),
        ([tensor("return_perf_metrics", "INT32", -1, 1)], TIMES),
        ([tensor("return_perf_metrics", "BOOL", -1, 2)], TIMES),
    ],
    ids=["none", "no-outputs", "three-outputs", "no-input", "no-flag", "two-flags"],
)
def test_nothing_is_asked_of_other_models(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
    """A model that declares the performance metrics in part, or otherwise, gets the usual inputs."""
    model = found(metadata(*inputs) | {"outputs": [OUTPUT, *outputs]}, config("return_perf_metrics"))
    assert set(sent(model)) == {"text_input", "max_tokens", "stream"}


def test_a_scenario_decides_about_the_times_itself() -> None:
    """Its value for the input is sent, as every input of a scenario."""
    declared = metadata(PERF) | {"outputs": [OUTPUT, *TIMES]}
    model = found(declared, config("return_perf_metrics"), return_perf_metrics=False)
    assert sent(model)["return_perf_metrics"] == ("BOOL", [1, 1], b"\x00")


def test_a_model_survives_the_message_to_a_worker() -> None:
    """A worker gets the model with its tensors from plain values, in which tuples are lists."""
    model = found(metadata(WORDS), config(), bad_words=["no", "nor"])
    message = asdict(model)
    message["tensors"] = [{**each, "shape": list(each["shape"])} for each in message["tensors"]]
    message["inputs"] = [
        {**each, "shape": list(each["shape"]), "values": list(each["values"])} for each in message["inputs"]
    ]
    assert Model.from_message(message) == model


def test_versions_are_one_model() -> None:
    """Several versions of a model in the index are one model; versions that are not ready are none."""
    index = [{"name": "my_llm", "version": str(version), "state": "READY"} for version in (1, 2, 3)]
    assert model_names([*index, {"name": "old", "version": "1", "state": "UNAVAILABLE"}]) == ["my_llm"]
    assert find_model(Server(metadata(), config(), ["my_llm", "my_llm"]), requested=None, stream=True).name == "my_llm"


@pytest.mark.parametrize(
    "index", [{"models": []}, "models", 7, [["llm"]], ["llm"], [None], {"error": "no"}, True], ids=str
)
def test_a_malformed_index(index: object) -> None:
    """An index that is not a list of objects is refused in one sentence; a missing one is empty."""
    with pytest.raises(TargetError, match="the repository index"):
        model_names(index)
    assert model_names(None) == model_names([{}, {"name": 7}, {"name": ""}, {"name": "\ud83d"}, {"name": "a\n"}]) == []


@pytest.mark.parametrize(
    ("metadata_", "config_"),
    [
        ([], {}),
        ("x", {}),
        ({"inputs": {"text_input": "BYTES"}}, {}),
        ({"inputs": ["text_input", "max_tokens"]}, {}),
        ({"inputs": [{"datatype": "BYTES"}]}, {}),
        ({"inputs": [{"name": ["text_input"]}]}, {}),
        ({"inputs": [{"name": "text_input", "datatype": 7}]}, {}),
        ({"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": "x"}]}, {}),
        ({"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [None]}]}, {}),
        ({"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [{}, 1.5]}]}, {}),
        ({"inputs": [TEXT], "outputs": 7}, {}),
        ({"inputs": [TEXT], "outputs": [7]}, {}),
        ({}, {}),
        ({"inputs": None, "outputs": None}, {}),
        (metadata(), []),
        (metadata(), "x"),
        (metadata(), {"max_batch_size": "many"}),
        (metadata(), {"max_batch_size": [8]}),
        (metadata(), {"model_transaction_policy": "decoupled"}),
        (metadata(), {"ensemble_scheduling": []}),
        (metadata(), {"ensemble_scheduling": {"step": {}}}),
        (metadata(), {"ensemble_scheduling": {"step": ["a"]}}),
        (metadata(), {"ensemble_scheduling": {"step": [{}]}}),
        (metadata(), {"ensemble_scheduling": {"step": [{"model_name": 7}]}}),
        (metadata(), {"input": {"stream": 1}}),
        (metadata(), {"input": ["stream"]}),
        (metadata(), None),
    ],
)
def test_malformed_descriptions(metadata_: object, config_: object) -> None:
    """Whatever a server says about its model, the answer is one sentence of bounded length."""
    with pytest.raises(TargetError) as caught:
        found(metadata_, config_)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=50, deadline=None)
@given(index=JSON, metadata_=JSON, config_=JSON)
def test_any_json(index: Any, metadata_: Any, config_: Any) -> None:
    """Whatever JSON a server answers with, the result is a model or one sentence."""
    with contextlib.suppress(TargetError):
        model_names(index)
    with contextlib.suppress(TargetError):
        found(metadata_, config_)
    with contextlib.suppress(TargetError):
        found({"inputs": [TEXT, LIMIT, STREAM], "outputs": [OUTPUT], "x": metadata_}, config_)


def test_a_malformed_model_costs_only_itself() -> None:
    """A model beside it with a good description is tested."""

    class Two(Server):
        def metadata(self, model: str) -> Mapping[str, Any]:
            return metadata() if model == "good" else {"inputs": 7}

    assert find_model(Two({}, config(), ["bad", "good"]), requested=None, stream=True).name == "good"
    with pytest.raises(TargetError, match="inputs in the metadata of model 'bad' is not a list"):
        find_model(Two({}, config(), ["bad", "good"]), requested="bad", stream=True)


def test_a_huge_ensemble() -> None:
    """An ensemble of 100,000 different models is refused in one sentence; the same model many times is read once."""
    many = {"ensemble_scheduling": {"step": [{"model_name": f"m{number}"} for number in range(100_000)]}}
    server = Server(metadata(), many)
    with pytest.raises(TargetError, match="an ensemble of 100000 models, and loadgen reads at most 256"):
        find_model(server, requested=None, stream=True)
    assert server.configs_read == 1
    server = Server(metadata(), {"ensemble_scheduling": {"step": [{"model_name": "m"}] * 100_000}})
    with pytest.raises(TargetError, match="cannot stream"):
        find_model(server, requested=None, stream=True)
    assert server.configs_read == 2
