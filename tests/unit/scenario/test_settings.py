"""Settings: invalid ones are refused with a message that names the setting and says what to do."""

from collections.abc import Callable

import pytest

from loadgen.base.errors import ExitCode, SettingsError
from loadgen.scenario.fleets import Local
from loadgen.scenario.prompts import Fixed, LogNormal, Prompts, Uniform
from loadgen.scenario.rates import Constant, Step
from loadgen.scenario.settings import Scenario, Seeds, Slo

LOAD = Constant(per_s=1, duration_s=10)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: Slo(ttft_p96_s=1),
            "Slo.ttft_p96_s: no such setting; check its spelling (did you mean ttft_p99_s or ttft_p95_s?); "
            "the settings are ttft_p50_s, ",
        ),
        (lambda: Slo(ttft_p95_s=-2), "Slo.ttft_p95_s: input should be greater than 0, got -2"),
        (lambda: Slo(failed_ratio=2), "Slo.failed_ratio: input should be less than or equal to 1, got 2"),
        (lambda: Slo(attainment_ratio=95), "Slo.attainment_ratio: input should be less than or equal to 1, got 95"),
        (lambda: Slo(in_violation_s=-1), "Slo.in_violation_s: input should be greater than or equal to 0, got -1"),
        (lambda: Slo(window_s=0.5), "Slo.window_s: input should be greater than or equal to 1, got 0.5"),
        (
            lambda: Slo(failed_ratio=None, in_violation_s=60),
            "in_violation_s needs a limit that a single request can meet: set one on a percentile, such as ttft_p95_s",
        ),
        (lambda: Scenario(name="x", load=LOAD, warm_up_s=10), "warm_up_s 10 covers the whole load of 10 s"),
        (lambda: Uniform(5, 2), "Uniform: high 2 is below low 5: swap them"),
        (lambda: Uniform(0, 2), "Uniform.low: input should be greater than 0, got 0"),
        (lambda: LogNormal(median=5, sigma=1, low=10, high=20), "median 5 is outside low 10 … high 20"),
        (lambda: Local(replicas=(4, 1)), "replicas: the maximum (1) is below the minimum (4): swap them"),
        (lambda: Local(rate_window_s=2), "rate_window_s 2 is shorter than 4 scrapes of 1 s: increase it"),
        (lambda: Scenario(name="", load=LOAD), "name '' must be 1 to 64 letters"),
        (lambda: Scenario(name="x"), "Scenario.load: field required"),
        (lambda: Scenario(name="x", load=3), "Scenario.load: input should be"),
        (lambda: Scenario(name="x", load=LOAD, target="tritron"), "target 'tritron' is not a URL"),
        (lambda: Scenario(name="x", load=LOAD * 0), "load sends less than one request in total"),
        (
            lambda: Scenario(name="x", load=LOAD, stream=False, slo=Slo(itl_p95_s=1)),
            "limits on TTFT, ITL and TPOT need stream=True",
        ),
        (
            lambda: Scenario(name="x", load=LOAD, target="http://a:8000", protocol="grpc"),
            "protocol grpc contradicts target http://a:8000",
        ),
        (
            lambda: Scenario(name="x", load=LOAD, protocol="openai", target="local"),
            "protocol openai needs the URL of a server as target, such as http://127.0.0.1:8000/v1: the target local",
        ),
        (
            lambda: Scenario(name="x", load=LOAD, protocol="openai", target="grpc://a:8001"),
            "target 'grpc://a:8001' is not a URL (http, https): write it like http://127.0.0.1:8000/v1",
        ),
        (
            lambda: Scenario(name="x", load=LOAD, protocol="openai", target="http://a/v1/chat/completions"),
            "of which every request adds /completions itself",
        ),
        (
            lambda: Scenario(name="x", load=LOAD, protocol="openai", target="http://a/v1", openai_call="chats"),
            "openai_call",
        ),
        (lambda: Scenario(name="x", load=LOAD, inputs={"a": {1: 2}}), "the names in a dictionary are text, got 1"),
        # beyond 32 bits
        (lambda: Uniform(1, 2**31), "Uniform.high: input should be less than or equal to 2147483647, got 2147483648"),
        (lambda: Fixed(10**30), "Fixed.value: input should be less than or equal to 2147483647"),
        (lambda: LogNormal(median=5, sigma=1, high=3_000_000_000), "LogNormal.high: input should be less than"),
        # values that Python and pydantic accept as numbers
        (lambda: Constant(per_s=True, duration_s=5), "Constant: per_s must be a number, got True"),
        (lambda: Constant(per_s=1, duration_s="5"), "Constant: duration_s must be a number, got '5'"),
        (lambda: Slo(ttft_p95_s=True), "Slo: ttft_p95_s must be a number, got True"),
        (lambda: Uniform(True, 5), "Uniform: low must be a number, got True"),
        (lambda: Step(levels_per_s=(1, "2"), hold_s=1), "Step: levels_per_s must be a number, got '2'"),
        (lambda: Local(replicas=(True, 2)), "Local: replicas must be a number, got True"),
        (lambda: Seeds(arrivals="1"), "Seeds: arrivals must be a number, got '1'"),
        (lambda: LOAD * True, "Scaled: factor must be a number, got True"),
        (lambda: Prompts(input_tokens=Uniform(1, 2), lenght=3), "Prompts.lenght: no such setting"),
    ],
)
def test_invalid_settings(build: Callable[[], object], says: str) -> None:
    """The message is one line that names the setting, and the exit code is that of wrong usage."""
    with pytest.raises(SettingsError) as caught:
        build()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("target", "protocol", "wire"),
    [
        ("local", None, "grpc"),
        ("local", "http", "http"),
        ("http://a:8000", None, "http"),
        ("https://a", None, "http"),
        ("HTTP://a", None, "http"),
        ("grpc://a:8001", None, "grpc"),
        ("grpcs://a:8001", "grpc", "grpc"),
    ],
)
def test_protocol_follows_the_target(target: str, protocol: str | None, wire: str) -> None:
    """The scheme of the target selects the protocol; the local stack defaults to gRPC."""
    assert Scenario(name="x", load=LOAD, target=target, protocol=protocol).wire == wire


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h:99999", "target 'http://h:99999' has a port that is not 1 to 65535"),
        ("http://h:0", "has a port that is not 1 to 65535"),
        ("http://h:80x", "a port that is not a number"),
        ("http://h:", "a port that is not a number"),
        ("http://:8000", "has no host name or address"),
        ("http://[::1", "has no host name or address"),
        ("http://[::1]x:80", "has no host name or address"),
        ("http://user@h", "target has a user name or a password"),
        ("http://h/v2/models", "has the path '/v2/models'"),
        ("http://h?token=SECRET", "target 'http://h' has a query"),
        ("http://h#f", "target 'http://h' has a fragment"),
        ("http://h\n", "has a space or a control character"),
        ("ftp://h", "is not a URL (http, https, grpc, grpcs)"),
        ("h:8000", "is not a URL"),
        ("", "is not a URL"),
    ],
)
def test_invalid_targets(url: str, says: str) -> None:
    """An invalid target is refused before a run folder is created, and the message says why."""
    with pytest.raises(SettingsError) as caught:
        Scenario(name="x", load=LOAD, target=url)
    assert says in str(caught.value)
    assert "write it like http://127.0.0.1:8000" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("setting", ["target", "metrics_url", "prometheus_url"])
@pytest.mark.parametrize("url", ["http://user:SECRET@h", "http://user:SEC/SECRET@h:99999", "http://h/?SECRET@"])
def test_passwords_are_not_repeated(setting: str, url: str) -> None:
    """A password in a URL is refused, as it would be recorded with the run, and the message does not repeat it."""
    with pytest.raises(SettingsError, match=f"{setting} has a user name or a password") as caught:
        Scenario(name="x", load=LOAD, **{setting: url})
    assert "SECRET" not in str(caught.value)


def test_metrics_urls_may_have_a_path() -> None:
    """URLs of Prometheus and metrics may have a path, as behind a proxy; an invalid port is refused."""
    Scenario(name="x", load=LOAD, metrics_url="https://a/pod/metrics", prometheus_url="http://[::1]:9090/prometheus")
    with pytest.raises(SettingsError, match="prometheus_url 'http://a:99999/p' has a port"):
        Scenario(name="x", load=LOAD, prometheus_url="http://a:99999/p")


def test_limits_by_metric_and_statistic() -> None:
    """In the order of the settings, without those that have no value; the length of windows is no limit."""
    slo = Slo(e2e_p99_s=9, ttft_p95_s=2, attainment_ratio=0.97, in_violation_s=0, scale_up_lag_s=45, window_s=60)
    assert list(slo.limits().items()) == [
        (("ttft", "p95"), 2.0),
        (("e2e", "p99"), 9.0),
        (("failed", "ratio"), 0.01),
        (("attainment", "ratio"), 0.97),
        (("in_violation", "total"), 0.0),
        (("scale_up_lag", "worst"), 45.0),
    ]
    assert Slo(failed_ratio=None).limits() == {}


def test_a_limit_on_the_lag_needs_observed_replicas() -> None:
    """Nothing is known about the replicas behind a URL, so the limit is refused before the load."""
    with pytest.raises(SettingsError, match="scale_up_lag_s needs a target whose replicas are observed"):
        Scenario(name="x", load=LOAD, target="http://a:1", slo=Slo(scale_up_lag_s=45))
    Scenario(name="x", load=LOAD, target="kube", slo=Slo(scale_up_lag_s=45))


def test_a_scenario_survives_json() -> None:
    """A scenario in run.json reads back as the same scenario."""
    scenario = Scenario(name="x", load=(LOAD + LOAD * 2).then(LOAD), slo=Slo(ttft_p95_s=1), local=Local())
    assert Scenario(**scenario.model_dump(mode="json")) == scenario


def test_replace_validates_the_whole_scenario() -> None:
    """A change that contradicts another setting is refused as in a new scenario."""
    scenario = Scenario(name="x", load=LOAD, slo=Slo(itl_p95_s=1))
    with pytest.raises(SettingsError, match="need stream=True"):
        scenario.replace(stream=False)
    assert scenario.replace(model="m").model == "m"
