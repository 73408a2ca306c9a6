"""What the command line, the web UI and the user classes change in a scenario."""

from argparse import Namespace

import pytest
from locust import User
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.load.adapters.users import TritonUser
from loadgen.run.flags import with_flags
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

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
