"""Flags for the connection to a URL target, as Locust's own parser reads them."""

from argparse import Namespace
from pathlib import Path

import pytest
from locust.argument_parser import get_empty_argument_parser

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import ExitCode, SettingsError
from loadgen.run.connection_flags import connection_of, take_headers
from loadgen.run.flags import add_flags
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=1, duration_s=60), target="https://triton.example/team")
SECRET = "s3cret-value"


def options_of(*flags: str) -> Namespace:
    parser = get_empty_argument_parser(add_help=False)
    add_flags(parser)
    return parser.parse_args(list(flags))


def connection(*flags: str, scenario: Scenario = SCENARIO) -> Connection:
    options = options_of(*flags)
    return connection_of(options, take_headers(options), scenario)


def test_without_flags_a_connection_is_plain() -> None:
    """For a URL and for our own stacks."""
    assert connection() == connection(scenario=SCENARIO.replace(target="local")) == DIRECT


def test_headers_come_from_flags_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line goes before the file, and the file before the environment; names differ by case only."""
    file = tmp_path / "headers"
    file.write_text("X-A: file\r\n\nX-B: file\n")
    monkeypatch.setenv("LOADGEN_HEADERS", "x-a: environment\nX-C: environment: with colon")
    found = connection("--header", "X-D:1", "--header", "x-b: flag", "--header-file", str(file)).headers
    assert dict(found) == {"X-A": "file", "x-b": "flag", "X-C": "environment: with colon", "X-D": "1"}


def test_every_flag_but_header_has_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For charts and CI."""
    file = tmp_path / "headers"
    file.write_text("X-A: file")
    monkeypatch.setenv("LOADGEN_HEADER_FILE", str(file))
    monkeypatch.setenv("LOADGEN_INSECURE", "true")
    assert connection() == Connection(headers=(("X-A", "file"),), insecure=True)


def test_values_of_headers_leave_the_options() -> None:
    """Locust sends its options to every worker, so the values are taken out."""
    options = options_of("--header", f"X-Key: {SECRET}")
    assert take_headers(options) == (f"X-Key: {SECRET}",)
    assert SECRET not in str(vars(options))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--header", SECRET), r"--header has an invalid line 1: write one `Name: value` per line"),
        (("--header", ""), r"--header has an invalid line 1"),
        (("--header", f"Na me: {SECRET}"), r"--header has an invalid line 1"),
        (("--header", f"X-Key: {SECRET}é"), r"--header has an invalid line 1"),
        (("--header", f"X-Key: {SECRET}\nX-B: 1"), r"--header has an invalid line 1"),
        (("--header", f"X-Key: {SECRET}", "--header", "x-key: 1"), "--header has the header x-key twice"),
        (("--header", f"Content-Length: {SECRET}"), "--header: the header Content-Length is set by the clients"),
        (("--header", f"grpc-timeout: {SECRET}"), "--header: the header grpc-timeout is set by the clients"),
        (("--header", f"x-trace-bin: {SECRET}"), "--header: the header x-trace-bin is binary metadata"),
        (("--header-file", "/nowhere"), "cannot read --header-file /nowhere: No such file"),
        (("--ca-file", "/nowhere"), "--ca-file /nowhere: No such file or directory: name a PEM file"),
        (("--client-cert", "/nowhere"), "--client-cert /nowhere: No such file or directory: name PEM files"),
        (("--client-key", "/nowhere"), "--client-key needs the certificate of the key: add --client-cert"),
    ],
)
def test_bad_flags(flags: tuple[str, ...], says: str) -> None:
    """One sentence with the flag and without the value, and the exit code of usage."""
    with pytest.raises(SettingsError, match=says) as caught:
        connection(*flags)
    assert caught.value.exit_code == ExitCode.USAGE
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("flags", [("--header", "X-A: 1"), ("--insecure",), ("--header-file", "x"), ("--ca-file", "x")])
def test_the_flags_are_for_url_targets(flags: tuple[str, ...]) -> None:
    """On a stack or a cluster they would have no effect, so they are refused."""
    with pytest.raises(SettingsError, match=rf"{flags[0]} is for a URL target, and the target is 'local'"):
        connection(*flags, scenario=SCENARIO.replace(target="local"))
