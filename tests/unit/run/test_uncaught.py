"""Uncaught exceptions of the `locust` command: exit code 1 is that of a FAIL, and of nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from locust.util.load_locustfile import load_locustfile

from loadgen.base.errors import ExitCode, SettingsError, StackError
from loadgen.run import uncaught

FAULTS = {
    "NameError": "scenario = Scenari()\n",
    "SyntaxError": "scenario = (\n",
    "ModuleNotFoundError": "import no_module_has_this_name\n",
    "ImportError": "from loadgen.scenario.rates import Triangle\n",
    "FileNotFoundError": "open('/no/such/file')\n",
    "ValidationError": "import pydantic\npydantic.TypeAdapter(int).validate_python('x')\n",
}


def exit_code_of(error: BaseException) -> int:
    with pytest.raises(SystemExit) as caught:
        uncaught.exit_with_code(type(error), error, error.__traceback__)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("name", FAULTS)
def test_a_locustfile_with_a_fault(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, with the traceback of the user's own file and a sentence; nothing of Locust or of a library."""
    file = tmp_path / f"{name.lower()}_file.py"
    file.write_text(f"# uses loadgen\n{FAULTS[name]}")
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        load_locustfile(str(file))
    assert exit_code_of(caught.value) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert f'File "{file}", line ' in err
    assert err.count('File "') == 1
    assert f"\n{name}: " in err or f".{name}: " in err
    assert f"error: {file} cannot be loaded because of the {name} above" in err


def test_a_fault_in_a_module_of_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback shows the locustfile and the module that it imports."""
    (tmp_path / "module_of_the_user.py").write_text("def length():\n    return undefined\n")
    file = tmp_path / "locustfile.py"
    file.write_text("# loadgen\nimport module_of_the_user\nmodule_of_the_user.length()\n")
    with pytest.raises(NameError) as caught:
        load_locustfile(str(file))
    assert exit_code_of(caught.value) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert [line.split('"')[1] for line in err.splitlines() if 'File "' in line] == [
        str(file),
        str(tmp_path / "module_of_the_user.py"),
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [(SettingsError("wrong"), ExitCode.USAGE), (StackError("no server"), ExitCode.TOOL)],
)
def test_our_own_errors(error: Exception, code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, without a traceback."""
    assert exit_code_of(error) == code
    assert capsys.readouterr().err == f"error: {error}\n"


@pytest.mark.parametrize("error", [ValueError("boom"), MemoryError(), RecursionError("deep"), GeneratorExit()])
def test_a_bug_is_a_tool_error(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever it comes from, it exits with 4, a traceback and what to do."""
    assert exit_code_of(error) == ExitCode.TOOL
    assert "please report it" in capsys.readouterr().err


def test_a_bug_of_ours_in_a_locustfile_is_not_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that our own code raises while a locustfile calls it is a tool error with the whole traceback."""
    file = tmp_path / "locustfile.py"
    file.write_text("from loadgen.base.files import write_whole\nwrite_whole(None, b'')\n")
    with pytest.raises(AttributeError) as caught:
        load_locustfile(str(file))
    assert exit_code_of(caught.value) == ExitCode.TOOL
    assert "write_whole" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(MemoryError("36 million"), ExitCode.TOOL), (SettingsError("wrong"), ExitCode.USAGE)]
)
def test_an_error_while_the_plugin_connects(
    error: Exception, code: ExitCode, capsys: pytest.CaptureFixture[str]
) -> None:
    """Locust would exit with 1 after an exception in its event `init`."""
    with pytest.raises(SystemExit) as caught, uncaught.errors_exit():
        raise error
    assert caught.value.code == code
    assert "error: " in capsys.readouterr().err


def test_another_locustfile_keeps_the_behavior_of_locust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where loadgen is installed, a locustfile that does not use it is handled as before."""
    handled: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: handled.append(error))
    uncaught.watch_locustfile(None)
    file = tmp_path / "locustfile.py"
    file.write_text("x = undefined\n")
    with pytest.raises(NameError) as caught:
        load_locustfile(str(file))
    sys.excepthook(NameError, caught.value, caught.tb)
    assert handled == [caught.value]


def test_the_locust_command(tmp_path: Path) -> None:
    """A file that cannot be compiled imports nothing of ours; an entry point of gevent handles it."""
    file = tmp_path / "locustfile.py"
    file.write_text("# uses loadgen\nx = (\n")
    locust = str(Path(sys.executable).with_name("locust"))
    done = subprocess.run([locust, "-f", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert "cannot be loaded because of the SyntaxError" in done.stderr
