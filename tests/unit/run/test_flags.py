"""Flags, web UI and user classes override the scenario."""

from argparse import Namespace
from typing import get_args

import pytest
from loadgen_reports.write import FORMATS
from locust import User
from locust.argument_parser import get_empty_argument_parser
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.load.adapters.users import TritonUser
from loadgen.run.flags import add_flags, with_flags
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import ReportFormat, Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=1, duration_s=60))


class Silent(TritonUser):
    scenario = SCENARIO


class Red(TritonUser):
    scenario = SCENARIO
    host = "http://red:8000"


class Blue(TritonUser):
    scenario = SCENARIO
    host = "http://blue:8000"


class Other(User):
    host = "http://somewhere.else"


def target(*classes: type[User], host: str | None = None, flag: str | None = None) -> str:
    options = Namespace(target=flag, protocol="http", stream=None, model=None)
    return with_flags(SCENARIO, Environment(user_classes=list(classes), host=host, parsed_options=options)).target


@pytest.mark.parametrize(
    ("classes", "host", "flag", "goes_to"),
    [
        ([Silent], None, None, "local"),
        ([Silent], "local", None, "local"),
        ([Red], None, None, "http://red:8000"),
        ([Red, Silent, Other], None, None, "http://red:8000"),
        ([Red], "http://blue:8000", None, "http://blue:8000"),
        ([Red, Blue], "http://blue:8000", None, "http://blue:8000"),
        ([Red], "http://blue:8000", "http://green:8000", "http://green:8000"),
    ],
)
def test_who_names_the_target(classes: list[type[User]], host: str | None, flag: str | None, goes_to: str) -> None:
    """--target goes before --host, that before a class's own host, that before the scenario."""
    assert target(*classes, host=host, flag=flag) == goes_to


def test_two_hosts_are_refused() -> None:
    """A run has one target."""
    with pytest.raises(SettingsError, match=r"http://blue:8000 and http://red:8000; set --host"):
        target(Red, Blue)


def with_reports(text: str | None) -> Scenario:
    options = Namespace(target=None, protocol="http", stream=None, model=None, reports=text)
    return with_flags(SCENARIO, Environment(user_classes=[Silent], parsed_options=options))


def test_the_flag_names_the_reports_that_are_written() -> None:
    """Separated by commas; without it, and with an empty variable of the environment, all of them."""
    assert with_reports("json, html").reports == ("json", "html")
    assert with_reports(None).reports == with_reports("").reports == FORMATS


@pytest.mark.parametrize("text", ["pdf", "html,", "html;json"])
def test_an_unknown_report_is_refused_with_those_that_there_are(text: str) -> None:
    """Before the run begins."""
    with pytest.raises(SettingsError, match=r"--reports: there is no report .* choose from json, html"):
        with_reports(text)


def test_flag_and_environment_variable_are_locust_s_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside our other flags, with a variable for the chart and CI."""
    parser = get_empty_argument_parser()
    add_flags(parser)
    assert parser.parse_args(["--reports", "json"]).reports == "json"
    monkeypatch.setenv("LOADGEN_REPORTS", "html,junit")
    assert parser.parse_args([]).reports == "html,junit"


def test_a_scenario_knows_the_reports_that_can_be_written() -> None:
    """The setting and the writer have the same names, in the same order."""
    assert get_args(ReportFormat) == FORMATS
    with pytest.raises(SettingsError, match=r"Scenario.reports.0: input should be 'json', .*, got 'pdf'"):
        SCENARIO.replace(reports=("pdf",))


def test_the_protocol_openai_by_flags() -> None:
    """Flags choose protocol and call; the reference client, which has no such protocol, is refused."""
    options = Namespace(
        target="http://a:8000/v1",
        protocol="openai",
        openai_call="completions",
        stream=None,
        model="m",
        client="built-in",
    )
    scenario = with_flags(SCENARIO, Environment(user_classes=[Silent], parsed_options=options))
    assert (scenario.wire, scenario.openai_call, scenario.model) == ("openai", "completions", "m")
    options.client = "reference"
    with pytest.raises(SettingsError, match="--client reference has no client of OpenAI's API: omit it"):
        with_flags(SCENARIO, Environment(user_classes=[Silent], parsed_options=options))


def test_a_flag_names_the_target_of_a_scenario_with_the_protocol_openai() -> None:
    """A scenario with the protocol openai may leave its target to a flag; a run without one is refused."""

    class OpenAi(TritonUser):
        scenario = Scenario(name="x", load=Constant(per_s=1, duration_s=60), protocol="openai")

    options = Namespace(target="http://a:8000", protocol=None, stream=None, model=None)
    environment = Environment(user_classes=[OpenAi], parsed_options=options)
    assert with_flags(OpenAi.scenario, environment).target == "http://a:8000"
    options.target = None
    with pytest.raises(SettingsError, match="protocol openai needs the URL of a server as target"):
        with_flags(OpenAi.scenario, environment)
