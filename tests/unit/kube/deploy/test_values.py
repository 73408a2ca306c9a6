"""Values of a chart as a person gives them, and the settings and flags of a cluster."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.kube.deploy.values import merged, one_value, read_values
from loadgen.run.flags import with_flags
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Kube, Scenario


def test_a_later_file_wins_key_by_key(tmp_path: Path) -> None:
    """Mappings are joined, lists are not; an empty file changes nothing."""
    for name, text in (("a", "x: {p: 1, q: [1, 2]}\ny: 1"), ("b", "x: {q: [3], r: null}"), ("c", "# nothing")):
        (tmp_path / name).write_text(text)
    assert read_values(*(tmp_path / name for name in "abc")) == {"x": {"p": 1, "q": [3], "r": None}, "y": 1}
    assert read_values() == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cannot read the values .*f: No such file or directory"),
        (b"a: [1", r"f is no YAML: while parsing a flow sequence"),
        (b"\xff\xfe\xfa", r"f is no YAML: "),
        (b"- 1", r"f holds no values: write it as "),
    ],
)
def test_a_file_that_holds_no_values_is_told(tmp_path: Path, content: bytes | None, says: str) -> None:
    """By its name."""
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(SettingsError, match=says):
        read_values(tmp_path / "f")


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("mode=emulated", {"mode": "emulated"}),
        ("a.b.c=3", {"a": {"b": {"c": 3}}}),
        ("image.tag='24.10'", {"image": {"tag": "24.10"}}),
        ("a={b: [1, 2]}", {"a": {"b": [1, 2]}}),
        ("a=", {"a": None}),
        ("a=x=y", {"a": "x=y"}),
    ],
)
def test_one_value(setting: str, values: dict[str, Any]) -> None:
    """A path of keys, and YAML."""
    assert one_value(setting) == values


@pytest.mark.parametrize("setting", ["a", "=1", "a..b=1", ".a=1", "a=[1"])
def test_what_is_no_value_is_told(setting: str) -> None:
    """With how one is written, or what is wrong with it."""
    with pytest.raises(SettingsError, match=r"--set .* (is no KEY=VALUE, such as|the value is no YAML)"):
        one_value(setting)


def test_values_are_not_changed_by_being_joined() -> None:
    """What lies below stays what it was."""
    below = {"a": {"b": 1}}
    assert merged(below, {"a": {"c": 2}, "d": {}}) == {"a": {"b": 1, "c": 2}, "d": {}}
    assert below == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"endpoint": "sideways"},
            "Kube: kube endpoint 'sideways' is invalid: set it to auto, ingress, service, nodeport, forward",
        ),
        ({"endpoint": "ftp://x"}, r"Kube: kube endpoint 'ftp://x' is not a URL"),
        (
            {"prometheus": "monitoring/prom"},
            r"kube prometheus 'monitoring/prom' is not a URL .*prometheus-operated",
        ),
        ({"prometheus": "http://u:p@x:1"}, "Kube: kube prometheus has a user name or a password"),
        ({"name_space": "x"}, r"Kube\.name_space: no such setting; check its spelling"),
    ],
)
def test_settings_of_a_cluster_are_checked(settings: dict[str, Any], says: str) -> None:
    """Before anything is asked of it."""
    with pytest.raises(SettingsError, match=says):
        Kube(**settings)


@pytest.mark.parametrize("prometheus", ["http://x:9090/prom", "monitoring/prometheus-operated:9090"])
@pytest.mark.parametrize("endpoint", ["auto", "ingress", "grpc://x:1", "https://x"])
def test_good_settings_of_a_cluster(endpoint: str, prometheus: str) -> None:
    """A kind or a URL; a URL or a Service."""
    assert Kube(endpoint=endpoint, prometheus=prometheus).endpoint == endpoint


def scenario(**flags: Any) -> Scenario:
    options = Namespace(target="kube", protocol=None, stream=None, model=None, **flags)
    base = Scenario(name="x", load=Constant(per_s=1, duration_s=60), kube=Kube(namespace="llm", workload="t"))
    return with_flags(base, Environment(parsed_options=options))


def test_flags_go_before_the_scenario() -> None:
    """Each field by itself; what is not said stays."""
    found = scenario(kube_namespace="other", kube_hpa="", kube_endpoint="service").kube
    assert (found.namespace, found.workload, found.hpa, found.endpoint) == ("other", "t", None, "service")


@pytest.mark.parametrize(("endpoint", "wire"), [("auto", "grpc"), ("http://x:1", "http"), ("grpcs://x", "grpc")])
def test_a_given_endpoint_says_which_protocol(endpoint: str, wire: str) -> None:
    """As the URL of a target does; gRPC where nothing says."""
    assert scenario(kube_endpoint=endpoint).wire == wire
