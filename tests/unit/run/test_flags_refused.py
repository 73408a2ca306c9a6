"""Flags that contradict the scenario or one another, as Locust's own parser reads them."""

import pytest
from locust.argument_parser import get_empty_argument_parser, get_parser
from locust.env import Environment

from loadgen.base.errors import ExitCode, SettingsError
from loadgen.load.adapters.users import TritonUser
from loadgen.run.flags import add_flags, with_flags
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario, Slo

SCENARIO = Scenario(
    name="x", load=Constant(per_s=1, duration_s=60), slo=Slo(ttft_p95_s=1, itl_p50_s=1, tpot_p95_s=1, e2e_p95_s=3)
)


class AnyUser(TritonUser):
    scenario = SCENARIO


def scenario_with(*flags: str) -> Scenario:
    parser = get_empty_argument_parser(add_help=False)
    add_flags(parser)
    environment = Environment(user_classes=[AnyUser], parsed_options=parser.parse_args(list(flags)))
    return with_flags(SCENARIO, environment)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--target", "nonsense"), r"target 'nonsense' is (no|not a) URL .*, or 'local'"),
        (("--target", "http://127.0.0.1:1", "--protocol", "grpc"), "protocol grpc contradicts target"),
        (("--target", "http://127.0.0.1:1/v2"), "target .* has the path '/v2', of which every request adds /v2 itself"),
    ],
)
def test_bad_flags(flags: tuple[str, ...], says: str) -> None:
    """A target that cannot be driven is refused before the run, with the exit code of usage."""
    with pytest.raises(SettingsError, match=says) as caught:
        scenario_with(*flags)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(("flag", "stream"), [("--stream", True), ("--no-stream", False)])
def test_protocol_and_streaming(protocol: str, flag: str, stream: bool) -> None:
    """Every protocol goes with and without streaming; without it, limits that need token times are left out."""
    scenario = scenario_with("--target", f"{protocol}://127.0.0.1:1", "--protocol", protocol, flag)
    assert (scenario.wire, scenario.stream) == (protocol, stream)
    assert scenario.slo == (SCENARIO.slo if stream else Slo(e2e_p95_s=3))


def test_rebalancing_is_refused() -> None:
    """It would move users between workers during the load, and so cut their requests."""
    options = get_parser().parse_args(["--enable-rebalancing"])
    environment = Environment(user_classes=[AnyUser], parsed_options=options)
    with pytest.raises(SettingsError, match="--enable-rebalancing moves users between workers") as caught:
        with_flags(SCENARIO, environment)
    assert caught.value.exit_code == ExitCode.USAGE
