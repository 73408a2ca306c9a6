"""Settings of a simulation: their names, values and limits, and the HPA that they give."""

import json
from dataclasses import replace

import pytest
import yaml
from kubernetes.client import ApiClient

from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import Behavior, HpaSpec, PodsMetric, Target
from loadgen.base.errors import SettingsError
from loadgen.whatif.model import MetricPath, Replicas
from loadgen.whatif.settings import SETTINGS, Setup, with_settings
from loadgen.whatif.text import elsewhere_line, hpa_manifest, owner_line

METRIC = PodsMetric(name="queue_ratio", target=Target(type="AverageValue", average_value_milli=150))
SETUP = Setup(
    replicas=Replicas(slots=4, pending_s=10.0, loads_s=(30.0,)),
    path=MetricPath(scrape_s=1.0, window_s=30.0, sync_s=15.0),
    hpa=HpaSpec(min_replicas=1, max_replicas=4, metrics=(METRIC,), behavior=Behavior()),
)
CHANGES = {
    "hpa.target": ("0.3", lambda each: each.hpa.metrics[0].target.average_value_milli, 300),
    "hpa.busy_target": (
        "0.7",
        lambda each: [one.name for one in each.hpa.metrics],
        ["queue_ratio", "triton:busy:ratio"],
    ),
    "hpa.waiting_target": (
        "3",
        lambda each: (each.hpa.metrics[1].target.average_value_milli, each.metrics.signals),
        (3000, ("ratio", "waiting")),
    ),
    "hpa.min_replicas": ("2", lambda each: each.hpa.min_replicas, 2),
    "hpa.max_replicas": ("9", lambda each: each.hpa.max_replicas, 9),
    "hpa.tolerance_up": ("0.05", lambda each: each.hpa.behavior.scale_up.tolerance_ratio, 0.05),
    "hpa.tolerance_down": ("0.2", lambda each: each.hpa.behavior.scale_down.tolerance_ratio, 0.2),
    "hpa.scale_up_window_s": ("60", lambda each: each.hpa.behavior.scale_up.stabilization_window_s, 60),
    "hpa.scale_down_window_s": ("600", lambda each: each.hpa.behavior.scale_down.stabilization_window_s, 600),
    "hpa.scale_up_policies": (
        "2 pods/30s + 50 %/60s",
        lambda each: [(one.type, one.value, one.period_s) for one in each.hpa.behavior.scale_up.policies],
        [("Pods", 2, 30), ("Percent", 50, 60)],
    ),
    "hpa.scale_down_policies": (
        "1pods/60s",
        lambda each: [(one.type, one.value, one.period_s) for one in each.hpa.behavior.scale_down.policies],
        [("Pods", 1, 60)],
    ),
    "hpa.sync_period_s": ("30", lambda each: each.path.sync_s, 30.0),
    "prometheus.scrape_interval_s": ("5", lambda each: each.path.scrape_s, 5.0),
    "prometheus.window_s": ("60", lambda each: each.path.window_s, 60.0),
    "replicas.start_up_s": ("20", lambda each: (each.replicas.pending_s, each.replicas.loads_s), (5.0, (15.0,))),
}


def test_every_setting_has_a_case() -> None:
    """The cases are exactly the settings."""
    assert CHANGES.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_its_value_alone(name: str) -> None:
    """The setup differs in nothing else: changed back, it is the one from before."""
    value, read, expected = CHANGES[name]
    changed = with_settings(SETUP, [f"{name} = {value}"])
    assert read(changed) == expected
    assert sum(getattr(changed, part) != getattr(SETUP, part) for part in ("replicas", "path", "hpa")) == 1


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("hpa.target", "'hpa.target' is not a setting: write name=value"),
        ("hpa.target=", "is not a setting: write name=value"),
        (
            "hpa.targt=1",
            r"there is no setting hpa.targt \(did you mean hpa.target or .*\?\); the settings are ",
        ),
        ("hpa.target=high", "hpa.target=high: use a number"),
        ("hpa.target=nan", "hpa.target=nan: use a number"),
        ("hpa.target=0", "hpa.target=0: use at least 0.001"),
        ("hpa.target=none", "hpa.target=none: the HPA would have no metric left"),
        ("hpa.max_replicas=2.5", "hpa.max_replicas=2.5: use a whole number"),
        ("hpa.max_replicas=0", "hpa.max_replicas=0: maxReplicas is 0: use at least 1"),
        ("hpa.min_replicas=5", "hpa.min_replicas=5: minReplicas 5 is above maxReplicas 4"),
        ("hpa.scale_down_window_s=4000", "stabilizationWindowSeconds is 4000: use 0 to 3600"),
        ("hpa.tolerance_up=-1", "a tolerance of -1.0 is negative"),
        ("hpa.scale_up_policies=4", "write policies as `4pods/15s` or `100%/15s`"),
        ("hpa.scale_up_policies=4pods/1h", "write policies as `4pods/15s` or `100%/15s`"),
        ("hpa.scale_up_policies=0pods/15s", "a policy value of 0 allows nothing"),
        ("hpa.sync_period_s=0", "hpa.sync_period_s=0: use more than 0 seconds"),
        ("hpa.sync_period_s=1e-6", "hpa.sync_period_s=1e-6: use at least 0.1 seconds"),
        ("prometheus.scrape_interval_s=1e-9", "use at least 0.1 seconds"),
        ("hpa.max_replicas=100000", "a simulation has at most 10,000 replicas"),
        ("hpa.target=1e30", "hpa.target=1e30: use at most 1,000,000,000"),
        ("replicas.start_up_s=-1", "replicas.start_up_s=-1: use 0 seconds or more"),
    ],
)
def test_a_wrong_setting_is_one_sentence(assignment: str, message: str) -> None:
    """It has the name, the value and what to write."""
    with pytest.raises(SettingsError, match=message):
        with_settings(SETUP, [assignment])


def test_the_manifest_of_a_setup_is_the_setup() -> None:
    """The API server reads back what was simulated; the rest of the HPA of the run stays."""
    changes = [f"{name}={value}" for name, (value, _, _) in CHANGES.items()]
    hpa = with_settings(SETUP, changes).hpa
    assert parse_hpa(hpa_manifest(hpa, applied=None, name="triton")) == hpa
    applied = hpa_manifest(SETUP.hpa, applied=None, name="llm")
    applied["metadata"] = {"name": "llm-hpa", "namespace": "llm", "labels": {"team": "a"}}
    selector = {"matchLabels": {"model": "m"}}
    applied["spec"]["metrics"][0]["pods"]["metric"]["selector"] = selector
    before = repr(applied)
    manifest = hpa_manifest(hpa, applied=applied, name="unused")
    assert repr(applied) == before
    assert manifest["metadata"] == applied["metadata"]
    assert manifest["spec"]["metrics"][0]["pods"]["metric"] == {"name": "queue_ratio", "selector": selector}
    read = parse_hpa(manifest)
    assert read.behavior == hpa.behavior
    assert (read.min_replicas, read.max_replicas, read.namespace) == (2, 9, "llm")


def test_the_manifest_is_one_of_the_api_of_kubernetes() -> None:
    """The models of the Kubernetes client have every field of it; the tolerance is newer than these models."""
    hpa = with_settings(SETUP, [f"{name}={value}" for name, (value, _, _) in CHANGES.items()]).hpa
    manifest = yaml.safe_load(yaml.safe_dump(hpa_manifest(hpa, applied=None, name="triton")))
    client = ApiClient()
    read = client.deserialize(json.dumps(manifest), "V2HorizontalPodAutoscaler", "application/json")
    back = client.sanitize_for_serialization(read)
    for rules in manifest["spec"]["behavior"].values():
        rules.pop("tolerance", None)
    for rules in back["spec"]["behavior"].values():
        rules.pop("tolerance", None)
    assert back == manifest


def test_the_manifest_of_a_running_hpa_can_be_applied() -> None:
    """What the API server sets is left out: it refuses an old resourceVersion, and another uid."""
    applied = hpa_manifest(SETUP.hpa, applied=None, name="llm")
    own = {"name": "llm", "namespace": "llm", "labels": {"team": "a"}}
    last = "kubectl.kubernetes.io/last-applied-configuration"
    applied["metadata"] = {
        **own,
        "annotations": {last: "{}", "meta.helm.sh/release-name": "llm"},
        "uid": "ea90c3b9",
        "resourceVersion": "597",
        "generation": 1,
        "creationTimestamp": "2026-11-30T23:50:22Z",
        "managedFields": [{}],
    }
    applied["status"] = {"currentReplicas": 1}
    manifest = hpa_manifest(SETUP.hpa, applied=applied, name="unused")
    assert manifest["metadata"] == {**own, "annotations": {"meta.helm.sh/release-name": "llm"}}
    assert "status" not in manifest
    assert applied["metadata"]["uid"] == "ea90c3b9"
    line = owner_line(applied)
    assert line is not None
    assert "values of the release llm" in line


def test_what_is_not_in_the_manifest_is_named() -> None:
    """With the place where it is set."""
    assert elsewhere_line(["hpa.target=1", "hpa.scale_down_window_s=60"]) is None
    assert elsewhere_line(["hpa.target=1", "prometheus.window_s=30"]) == (
        "# not in the HPA: prometheus.window_s=30 (range of the rates in the recording rule)"
    )
    hpa = {name for name in SETTINGS if name.startswith("hpa.")} - {"hpa.sync_period_s"}
    assert {name for name in SETTINGS if elsewhere_line([f"{name}=1"])} == SETTINGS.keys() - hpa


@pytest.mark.parametrize(
    "changes",
    [
        ["hpa.min_replicas=5", "hpa.max_replicas=8"],
        ["hpa.max_replicas=8", "hpa.min_replicas=5"],
        ["hpa.max_replicas=1", "hpa.min_replicas=1"],
        ["hpa.target=none", "hpa.min_replicas=5", "hpa.max_replicas=8", "hpa.busy_target=0.6"],
    ],
)
def test_settings_that_need_one_another_have_no_order(changes: list[str]) -> None:
    """A minimum above the maximum of the run is right if the maximum changes, too."""
    assert with_settings(SETUP, changes) == with_settings(SETUP, changes[::-1])


def test_without_behavior_the_first_rule_that_changes_adds_it() -> None:
    """The other direction gets the API server's defaults."""
    legacy = replace(SETUP, hpa=replace(SETUP.hpa, behavior=None))
    assert "behavior" not in hpa_manifest(legacy.hpa, applied=None, name="t")["spec"]
    changed = with_settings(legacy, ["hpa.scale_down_window_s=60"]).hpa.behavior
    assert changed is not None
    assert changed.scale_up == Behavior().scale_up
