"""Settings: refused with one sentence that names the setting and says what to do."""

from collections.abc import Callable

import pytest

from loadgen.errors import ExitCode, SettingsError
from loadgen.load.rates import Constant
from loadgen.settings import Local, LogNormal, Prompts, Scenario, Slo, Uniform

LOAD = Constant(per_s=1, duration_s=10)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Slo(ttft_p96_s=1), "Slo.ttft_p96_s: no such setting; check its spelling"),
        (lambda: Slo(ttft_p95_s=-2), "Slo.ttft_p95_s: input should be greater than 0, got -2"),
        (lambda: Slo(failed_ratio=2), "Slo.failed_ratio: input should be less than or equal to 1, got 2"),
        (lambda: Uniform(5, 2), "Uniform: high 2 is below low 5: swap them"),
        (lambda: Uniform(0, 2), "Uniform.low: input should be greater than 0, got 0"),
        (lambda: LogNormal(median=5, sigma=1, low=10, high=20), "median 5 is outside low 10 … high 20"),
        (lambda: Local(replicas=(4, 1)), "replicas: the most (1) is below the fewest (4): swap them"),
        (lambda: Local(rate_window_s=2), "rate_window_s 2 holds fewer than 4 scrapes of 1 s: lengthen it"),
        (lambda: Scenario(name="", load=LOAD), "name '' must be letters"),
        (lambda: Scenario(name="x"), "Scenario.load: field required"),
        (lambda: Scenario(name="x", load=3), "Scenario.load: input should be"),
        (lambda: Scenario(name="x", load=LOAD, target="tritron"), "neither 'local' nor a URL"),
        (lambda: Scenario(name="x", load=LOAD * 0), "load sends less than one request in all"),
        (
            lambda: Scenario(name="x", load=LOAD, stream=False, slo=Slo(itl_p95_s=1)),
            "limits on TTFT, ITL and TPOT need stream=True",
        ),
        (
            lambda: Scenario(name="x", load=LOAD, target="http://a:8000", protocol="grpc"),
            "protocol grpc contradicts target http://a:8000",
        ),
        (lambda: Prompts(input_tokens=Uniform(1, 2), lenght=3), "Prompts.lenght: no such setting"),
    ],
)
def test_refusals(build: Callable[[], object], says: str) -> None:
    """Each fault is one line that names the setting, and the exit code is that of wrong usage."""
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
        ("grpc://a:8001", None, "grpc"),
        ("grpcs://a:8001", "grpc", "grpc"),
    ],
)
def test_protocol_follows_the_target(target: str, protocol: str | None, wire: str) -> None:
    """The scheme of the target says which protocol is spoken; the local stack is driven over gRPC."""
    assert Scenario(name="x", load=LOAD, target=target, protocol=protocol).wire == wire


def test_a_scenario_survives_json() -> None:
    """What is written to run.json reads back as the same scenario."""
    scenario = Scenario(name="x", load=(LOAD + LOAD * 2).then(LOAD), slo=Slo(ttft_p95_s=1), local=Local())
    assert Scenario(**scenario.model_dump(mode="json")) == scenario


def test_replace_checks_the_whole() -> None:
    """A change that contradicts another setting is refused like a new scenario."""
    scenario = Scenario(name="x", load=LOAD, slo=Slo(itl_p95_s=1))
    with pytest.raises(SettingsError, match="need stream=True"):
        scenario.replace(stream=False)
    assert scenario.replace(model="m").model == "m"
