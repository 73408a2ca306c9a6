"""Keeps the state of a run in Locust's web UI up to date."""

import json
from typing import Any

from flask import Response, request
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_SPAWNING, STATE_STOPPING

_STATISTICS = "locust.request_stats"


def show_start(environment: Environment) -> None:
    """Show that a test runs, though its users start only after the target, minutes later."""
    if environment.runner is not None:
        environment.runner.update_state(STATE_SPAWNING)  # in its previous state, a master also ignores Stop
    if environment.web_ui is not None and environment.web_ui.app is not None:
        page: Any = environment.web_ui.app.view_functions[_STATISTICS]
        page.clear_cache()  # Locust keeps the previous state for seconds


def show_stop(environment: Environment) -> None:
    """Let the page show the end of a test that is being stopped; call it before the web UI starts.

    The page asks for the state only while a test runs. Locust has other states while requests in flight are finished,
    and the page would show these until it is loaded again.
    """

    def running_until_stopped(response: Response) -> Response:
        if request.endpoint == _STATISTICS and response.is_json:
            statistics = response.get_json()
            if statistics["state"] in (STATE_STOPPING, STATE_CLEANUP):
                response.set_data(json.dumps({**statistics, "state": STATE_RUNNING}))
        return response

    if environment.web_ui is not None and environment.web_ui.app is not None:
        environment.web_ui.app.after_request(running_until_stopped)
