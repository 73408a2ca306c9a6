"""A server with an emulated engine says so in the configuration of its models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from loadgen.local.engine.repository import EMULATED_PARAMETER
from loadgen.protocols.detect import find_model
from loadgen.run.run import emulated_engine

INPUTS = [{"name": name} for name in ("text_input", "max_tokens", "stream")]
DECOUPLED = {"model_transaction_policy": {"decoupled": True}}
SAYS = {"parameters": {EMULATED_PARAMETER: {"string_value": "demo"}, "other": {"string_value": "x"}}}
ENSEMBLE = {"ensemble_scheduling": {"step": [{"model_name": "tensorrt_llm"}]}}


@dataclass(frozen=True)
class Server:
    """A control plane with one front model and one step of an ensemble, by their configurations."""

    configs: Mapping[str, Mapping[str, Any]]

    def models(self) -> Sequence[str]:
        return list(self.configs)

    def metadata(self, model: str) -> Mapping[str, Any]:
        return {} if model == "tensorrt_llm" else {"inputs": INPUTS, "outputs": [{"name": "text_output"}]}

    def config(self, model: str) -> Mapping[str, Any]:
        return self.configs[model]


@pytest.mark.parametrize(
    ("configs", "profile"),
    [
        ({"tensorrt_llm_bls": {**DECOUPLED, **SAYS}}, "demo"),
        ({"tensorrt_llm_bls": DECOUPLED}, None),
        ({"ensemble": {**ENSEMBLE, **SAYS}, "tensorrt_llm": DECOUPLED}, "demo"),
        # an ensemble of an earlier release, whose step alone says so
        ({"ensemble": ENSEMBLE, "tensorrt_llm": {**DECOUPLED, **SAYS}}, "demo"),
    ],
)
def test_the_models_configuration_names_the_emulated_profile(
    configs: Mapping[str, Mapping[str, Any]], profile: str | None
) -> None:
    """So a run records it also where only a URL is known."""
    model = find_model(Server(configs), requested=None, stream=True)
    assert model.emulated == profile
    sentence = emulated_engine(model)
    assert (sentence is None) is (profile is None)
    assert sentence is None or "(profile demo)" in sentence
