"""The reader of HPA manifests agrees with the API server of Kubernetes 1.37 on a recorded corpus of odd objects."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import Behavior, HpaSpec
from loadgen.base.errors import SettingsError
from support.hpa.corpus import corpus

RECORDED = Path(__file__).parent / "recorded/manifests-v1.37.1.jsonl"
VERDICTS = {each["name"]: each for each in map(json.loads, RECORDED.read_text().splitlines())}
ADMITTED = {name: each for name, each in VERDICTS.items() if "admitted" in each}
# The server takes any exponent and length. The reader takes 100 characters and exponents of two digits, to stay fast.
UNBOUNDED = {name for name in ADMITTED if "'1e100'" in name or "(122 characters)" in name}
REFUSED = {name: each for name, each in VERDICTS.items() if "refused" in each}


def as_admitted(manifest: dict[str, Any], admitted: dict[str, Any]) -> dict[str, Any]:
    """Return the object as the server would store it: every default is written out, every quantity is canonical."""
    return {key: manifest[key] for key in ("apiVersion", "kind")} | admitted


def rules(behavior: Behavior) -> dict[str, Any]:
    """Return the rules in the words of the manifest, without the tolerance, which is a quantity."""
    return {
        direction: {
            "policies": [
                {"type": each.type, "value": each.value, "periodSeconds": each.period_s} for each in rule.policies
            ],
            "selectPolicy": rule.select_policy,
            "stabilizationWindowSeconds": rule.stabilization_window_s,
        }
        for direction, rule in (("scaleUp", behavior.scale_up), ("scaleDown", behavior.scale_down))
    }


def with_lowest(spec: HpaSpec) -> HpaSpec:
    """Return the spec with its default of minReplicas."""
    return replace(spec, min_replicas=spec.lowest)


def test_the_corpus_was_recorded_whole():
    """Every object has a verdict, and both verdicts are frequent; `support.hpa.record_corpus` records again."""
    assert {name: each["manifest"] for name, each in VERDICTS.items()} == corpus()
    assert min(len(ADMITTED), len(REFUSED)) > 150


def difference(manifest: dict[str, Any], admitted: dict[str, Any]) -> str | None:
    """Return how the reader's result differs from the object that the server admitted, with its defaults."""
    try:
        spec, stored = parse_hpa(manifest), admitted["spec"]
    except SettingsError as error:
        return str(error)
    if with_lowest(spec) != with_lowest(parse_hpa(as_admitted(manifest, admitted))):
        return "another spec than that of the admitted object"
    numbers = (spec.lowest, spec.max_replicas, len(spec.metrics))
    if numbers != (stored["minReplicas"], stored["maxReplicas"], len(stored["metrics"])):
        return f"other numbers than those of the admitted object: {numbers}"
    written = None
    if "behavior" in stored:
        written = {
            direction: {"stabilizationWindowSeconds": None} | {key: rule[key] for key in rule if key != "tolerance"}
            for direction, rule in stored["behavior"].items()
        }
    if written != (None if spec.behavior is None else rules(spec.behavior)):
        return "another behavior than that of the admitted object"
    return None


def test_every_object_that_the_server_admits_is_read_with_its_defaults():
    """The reader's result is that of the admitted object, in which the server has written out every default."""
    results = {name: difference(each["manifest"], each["admitted"]) for name, each in ADMITTED.items()}
    different = {name: result for name, result in results.items() if result is not None}
    assert different.keys() == UNBOUNDED
    assert all("is not a Kubernetes quantity" in result for result in different.values())


def test_every_object_that_the_server_refuses_is_refused_in_one_sentence():
    """The reader does not accept an object that the API server refuses."""
    for name, each in REFUSED.items():
        with pytest.raises(SettingsError) as caught:
            pytest.fail(f"{name}: {parse_hpa(each['manifest'])}")
        assert "\n" not in str(caught.value)
