"""The flags that are read before Locust reads them: whether to enter a sandbox, and which port to open."""

import sys
from contextlib import suppress

import pytest

from loadgen.run import reexec as entry
from loadgen.sandbox import commands, session


@pytest.fixture
def asked(monkeypatch):
    """The ports that a command line lets `run_inside` open; empty where it is not called."""
    for name in ("LOADGEN_TARGET", "LOCUST_HEADLESS", "LOCUST_WEB_PORT", commands.INSIDE):
        monkeypatch.delenv(name, raising=False)
    calls = []

    def run_inside(argv, *, say, web_port):
        calls.append(web_port)
        return 0

    monkeypatch.setattr(session, "run_inside", run_inside)

    def ask(*flags, **env):
        monkeypatch.setattr(sys, "argv", ["locust", "-f", "waves.py", *flags])
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with suppress(SystemExit):
            entry.enter_sandbox_if_requested()
        return calls

    return ask


@pytest.mark.parametrize(
    ("flags", "env", "port"),
    [
        (("--target", "sandbox"), {}, 8089),
        (("--target=sandbox", "-P", "9000"), {}, 9000),
        (("--target", "sandbox"), {"LOCUST_WEB_PORT": "9001"}, 9001),
        (("--target", "sandbox", "--web-port", "9000"), {"LOCUST_WEB_PORT": "9001"}, 9000),
        (("--target", "sandbox", "--headless"), {}, None),
        (("--target", "sandbox"), {"LOCUST_HEADLESS": "true"}, None),
        ((), {"LOADGEN_TARGET": "sandbox"}, 8089),
    ],
)
def test_the_port_of_the_web_ui_is_opened_here_as_locust_would(asked, flags, env, port):
    """By flag, then by environment, then Locust's own default; without a web UI none."""
    assert asked(*flags, **env) == [port]


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        ((), {}),
        (("--target", "local"), {}),
        (("--target", "sandbox", "--help"), {}),
        (("--target", "sandbox"), {commands.INSIDE: "run-1"}),
    ],
)
def test_no_sandbox_for_other_targets_for_help_and_inside_one(asked, flags, env):
    """The command goes on as it is."""
    assert asked(*flags, **env) == []
