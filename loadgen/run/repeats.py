"""`--repeats N`: runs the Locust command once for each repeat, then reports on all of the runs together."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from loadgen.base.console import say
from loadgen.base.errors import INTERRUPTED, ExitCode, SettingsError
from loadgen.base.processes import die_with_parent
from loadgen.dataset.folder import runs_dir
from loadgen.dataset.group import create_group, members
from loadgen.dataset.run_info import GroupInfo
from loadgen.run.reexec import INFORMATIONAL, early_options

MOST = 1000
GROUP = "LOADGEN_GROUP"
"""Environment variable of each repeat: id of its group, its number and the number of repeats."""

_VERDICTS = (ExitCode.PASS, ExitCode.FAIL, ExitCode.INVALID)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.5


def repeat_if_requested() -> None:
    """Run this command once for each repeat and exit with the verdict on all, if the command line asks for several.

    Raises:
        SettingsError: the number is wrong, or another flag excludes repeats.
        RecordError: the folder of the group cannot be written.
    """
    options = early_options()
    if GROUP in os.environ or INFORMATIONAL & set(sys.argv[1:]):
        return
    repeats = repeats_of(options.repeats)
    if repeats == 1:
        return
    if options.master or options.worker:
        raise SettingsError(
            "--repeats starts Locust anew for each repeat, which workers of other commands do not survive: use "
            "--processes, or omit --repeats"
        )
    if not options.headless:
        raise SettingsError("--repeats starts one load after another without the web UI: add --headless")
    sys.exit(_Repeats(repeats).run())


def repeats_of(text: str | None) -> int:
    """The number of repeats that a flag gives.

    Raises:
        SettingsError: it is not a number from 1 to `MOST`.
    """
    if text is None or text == "":
        return 1
    with suppress(ValueError):
        if 1 <= (number := int(text)) <= MOST:
            return number
    raise SettingsError(f"--repeats {text} is not a number of runs: use 1 to {MOST}")


def check_repeats(repeats: str | None) -> None:
    """Check that repeats that Locust's parser has found were also found before, when the command started.

    Raises:
        SettingsError: they come from a configuration file, or from an abbreviated flag.
    """
    if repeats_of(repeats) != 1 and GROUP not in os.environ:
        raise SettingsError("give --repeats unabbreviated on the command line, or set LOADGEN_REPEATS")


def own_group() -> GroupInfo | None:
    """The place of this process's run in a group; None for a run by itself."""
    if GROUP not in os.environ:
        return None
    name, number, repeats = os.environ[GROUP].split()
    return GroupInfo(id=name, number=int(number), repeats=int(repeats))


def end_with_repeats() -> None:
    """Let the kernel end this process with the one that repeats it; inside a sandbox, it ends with the sandbox."""
    from loadgen.sandbox.commands import INSIDE

    if GROUP in os.environ and INSIDE not in os.environ:
        die_with_parent()


class _Repeats:
    """The repeats of this command, one after another; a signal ends the one that runs, and none begins after it."""

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._to_pass_on: int | None = None

    def run(self) -> int:
        """Run them and report on the group; returns the exit code: the verdict on all, or that of an error."""
        group = create_group(runs_dir())
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        code = INTERRUPTED
        try:
            for number in range(1, self._repeats + 1):
                say(f"repeat {number} of {self._repeats}")
                code = self._run(f"{group.name} {number} {self._repeats}")
                if self._stopped or code not in _VERDICTS:
                    break
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return _report(group, code)

    def _run(self, place: str) -> int:
        # in a session of its own: Ctrl-C in the terminal reaches only this process, which passes it on once
        self._process = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env={**os.environ, GROUP: place},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._pass_on()
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    code = self._process.wait(_POLL_S)
                    return code if code >= 0 else 128 - code
        finally:
            self._process.kill()
            self._process.wait()

    def _stop(self, number: int, _: object) -> None:
        self._stopped = True
        self._to_pass_on = number
        self._pass_on()

    def _pass_on(self) -> None:
        """Pass a signal on to the repeat that runs; one that came while it was being started waits for this."""
        if self._to_pass_on is not None and self._process is not None and self._process.poll() is None:
            number, self._to_pass_on = self._to_pass_on, None
            self._process.send_signal(number)


def _report(group: Path, code: int) -> int:
    """Report on the runs of a group in another process; returns its verdict, or the code of what ended a repeat."""
    runs = members(group)
    if not any(info.load_start_s is not None for _, info in runs):
        group.rmdir()
        return code
    say(f"analyzing {len(runs)} runs …")
    reports = runs[0][1].settings.get("reports")
    formats = [name for name in reports if name != "figures"] if isinstance(reports, list) else []
    command = [sys.executable, "-m", "loadgen", "report", str(group)]
    command += ["--reports", ",".join(formats)] if formats else []
    # with Locust's --json, standard output has Locust's JSON and nothing else
    output = sys.stderr if "--json" in sys.argv else None
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, check=False)
    return code if code not in _VERDICTS else done.returncode
