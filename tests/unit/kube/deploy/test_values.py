"""Chart values, and the settings and flags of a cluster."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.kube.deploy.values import merge, parse_set, read_values
from loadgen.run.flags import with_flags
from loadgen.scenario.fleets import Kube
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario


def test_later_files_override_earlier_ones_by_key(tmp_path: Path) -> None:
    """Mappings are merged, lists are replaced; an empty file changes nothing."""
    for name, text in (("a", "x: {p: 1, q: [1, 2]}\ny: 1"), ("b", "x: {q: [3], r: null}"), ("c", "# nothing")):
        (tmp_path / name).write_text(text)
    assert read_values(*(tmp_path / name for name in "abc")) == {"x": {"p": 1, "q": [3], "r": None}, "y": 1}
    assert read_values() == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read the values .*f: No such file or directory"),
        (b"a: [1", r"f is not valid YAML: while parsing a flow sequence"),
        (b"\xff\xfe\xfa", r"f is not valid YAML: "),
        (b"- 1", r"f is not a mapping of values: see "),
    ],
)
def test_an_invalid_values_file_is_an_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    """The message has its name."""
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        read_values(tmp_path / "f")


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("mode=emulated", {"mode": "emulated"}),
        ("a.b.c=3", {"a": {"b": {"c": 3}}}),
        ("image.tag='24.10'", {"image": {"tag": "24.10"}}),
        ("a={b: [1, 2]}", {"a": {"b": [1, 2]}}),
        ("a=", {"a": None}),
        ("a=x=y", {"a": "x=y"}),
    ],
)
def test_a_set_option(option: str, values: dict[str, Any]) -> None:
    """A path of keys, and YAML."""
    assert parse_set(option) == values


@pytest.mark.parametrize("option", ["a", "=1", "a..b=1", ".a=1", "a=[1"])
def test_an_invalid_set_option_is_an_error(option: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(
        SettingsError, match=r"--set .* is invalid: (use KEY=VALUE, such as|the value is not valid YAML)"
    ):
        parse_set(option)


def test_merging_does_not_modify_its_arguments() -> None:
    """The base values stay the same."""
    base = {"a": {"b": 1}}
    assert merge(base, {"a": {"c": 2}, "d": {}}) == {"a": {"b": 1, "c": 2}, "d": {}}
    assert base == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("settings", "message"),
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
def test_settings_of_a_cluster_are_validated(settings: dict[str, Any], message: str) -> None:
    """Before any request to the cluster."""
    with pytest.raises(SettingsError, match=message):
        Kube(**settings)


@pytest.mark.parametrize("prometheus", ["http://x:9090/prom", "monitoring/prometheus-operated:9090"])
@pytest.mark.parametrize("endpoint", ["auto", "ingress", "grpc://x:1", "https://x"])
def test_valid_settings_of_a_cluster(endpoint: str, prometheus: str) -> None:
    """A kind or a URL; a URL or a Service."""
    assert Kube(endpoint=endpoint, prometheus=prometheus).endpoint == endpoint


def scenario(**flags: Any) -> Scenario:
    options = Namespace(target="kube", protocol=None, stream=None, model=None, **flags)
    base = Scenario(name="x", load=Constant(per_s=1, duration_s=60), kube=Kube(namespace="llm", workload="t"))
    return with_flags(base, Environment(parsed_options=options))


def test_flags_override_the_scenario() -> None:
    """Each field separately; fields without a flag keep their value."""
    kube = scenario(kube_namespace="other", kube_hpa="", kube_endpoint="service").kube
    assert (kube.namespace, kube.workload, kube.hpa, kube.endpoint) == ("other", "t", None, "service")


def test_patience_is_a_flag() -> None:
    """A number of seconds above zero."""
    assert scenario().kube.patience_s == 600.0
    assert scenario(kube_patience_s=1800.0).kube.patience_s == 1800.0
    with pytest.raises(SettingsError, match=r"Kube\.patience_s: input should be greater than 0, got 0"):
        scenario(kube_patience_s=0.0)


@pytest.mark.parametrize(("endpoint", "wire"), [("auto", "grpc"), ("http://x:1", "http"), ("grpcs://x", "grpc")])
def test_the_endpoint_determines_the_protocol(endpoint: str, wire: str) -> None:
    """As with the URL of a target; gRPC by default."""
    assert scenario(kube_endpoint=endpoint).wire == wire
