"""The state of a run in Locust's web UI, through Locust's own Flask application."""

import sys

import pytest
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment

from loadgen.run.web_ui import show_start, show_stop


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    parser = get_empty_argument_parser(add_help=False)
    setup_parser_arguments(parser)
    monkeypatch.setattr(sys, "argv", ["locust"])  # which Locust's page reads
    environment = Environment(parsed_options=parser.parse_args([]), user_classes=[])
    environment.create_local_runner()
    environment.create_web_ui(delayed_start=True)
    show_stop(environment)
    return environment


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("ready", "ready"),
        ("spawning", "spawning"),
        ("running", "running"),
        ("stopping", "running"),  # a master waits for its workers
        ("cleanup", "running"),  # requests in flight finish
        ("stopped", "stopped"),
    ],
)
def test_a_run_is_shown_until_it_has_stopped(environment: Environment, state: str, shown: str) -> None:
    """The page asks again only while a test runs, so a state between Stop and the end would stay on it."""
    assert environment.runner is not None
    assert environment.web_ui is not None
    environment.runner.update_state(state)
    answer = environment.web_ui.app.test_client().get("/stats/requests").json
    assert answer["state"] == shown
    assert {"stats", "errors", "user_count"} <= set(answer)


def test_without_a_web_ui_there_is_nothing_to_show() -> None:
    """As with --headless."""
    environment = Environment(user_classes=[])
    show_stop(environment)
    show_start(environment)
