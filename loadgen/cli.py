"""The `loadgen` command. Progress and errors go to standard error, results to standard output.

Each command imports its dependencies when it runs: pandas, matplotlib and the Kubernetes client take seconds.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.base.command_line import Parser
from loadgen.base.console import protect_streams, say, show
from loadgen.base.errors import INTERRUPTED, ExitCode, LoadgenError, SettingsError, unexpected
from loadgen.base.text import clean

if TYPE_CHECKING:
    from loadgen.analyze.results import Analysis
    from loadgen.scenario.settings import Pricing

_AFTER_INTERRUPTION = {
    "report": ": every report that was written is whole, and `loadgen report` writes all of them again",
    "upload": ": every run that was uploaded is whole, and `loadgen upload` copies the rest",
    "clean": ": `loadgen clean` removes the rest",
    "deploy": ": the release may be there in part; `loadgen deploy` finishes it, `loadgen destroy` removes it",
    "destroy": ": the release may be there in part; `loadgen destroy` removes the rest",
}
"""What an interrupted command leaves, and what to do next."""

_VERDICT_CODE = {"pass": ExitCode.PASS, "fail": ExitCode.FAIL, "invalid": ExitCode.INVALID}


_ALONE = ("report", "settings")
"""Commands whose parser needs no import of another command."""


def command_line(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of every command; for one of `_ALONE` of these only, as the imports of the others cost time."""
    parser: argparse.ArgumentParser = Parser(
        prog="loadgen", description="Load testing and scaling validation of LLM serving on Triton and TensorRT-LLM"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="analyze a run folder again and rewrite every report")
    report.add_argument("run", type=Path, help="a folder below runs/, of a run or of a group of repeated runs")
    report.add_argument(
        "--reports",
        default=None,
        metavar="NAMES",
        help="comma-separated reports to write: json, html, markdown, junit, figures (all)",
    )
    report.add_argument("--json", action="store_true", help="print verdict, findings and paths as JSON")
    report.add_argument("--price-per-gpu-hour", type=float, metavar="N", help="price of one GPU for an hour")
    report.add_argument("--currency", metavar="CODE", help="currency of the price, such as EUR (USD)")
    report.add_argument(
        "--gpus-per-replica", type=int, metavar="N", help="GPUs of one replica (those of the workload, or the setting)"
    )
    commands.add_parser("settings", help="print the reference of all settings of a scenario, as Markdown")
    if command not in _ALONE:
        _add_others(commands)
    return parser


def _add_others(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from loadgen.archive import upload
    from loadgen.kube.deploy import cli as cluster
    from loadgen.lint import cli as lint
    from loadgen.local import clean
    from loadgen.sandbox import cli as sandbox
    from loadgen.selftest import cli as selftest
    from loadgen.whatif import cli as whatif
    from loadgen.whatif import plan_cli as plan

    selftest.add_command(commands)
    whatif.add_command(commands)
    plan.add_command(commands)
    upload.add_command(commands)
    clean.add_command(commands)
    cluster.add_commands(commands)
    lint.add_command(commands)
    sandbox.add_commands(commands)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    protect_streams()
    given = sys.argv[1:] if arguments is None else arguments
    options = command_line(given[0] if given else None).parse_args(given)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(options)
    except KeyboardInterrupt:
        say(f"interrupted{_AFTER_INTERRUPTION.get(options.command, '')}")
        return INTERRUPTED
    except Exception as fault:
        # exit code 1, which Python itself would give, says that the server failed the test
        error = fault if isinstance(fault, LoadgenError) else unexpected(fault)
        say(f"error: {error}")
        return int(error.exit_code)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    """Do on SIGTERM what Python does on Ctrl-C: the command cleans up on its way out."""
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> int:
    if options.command == "settings":
        return _settings()
    if options.command == "report":
        if not (options.run / "run.json").exists() and (code := _report_group(options)) is not None:
            return code
        return _report(options)
    from loadgen.archive import upload
    from loadgen.kube.deploy import cli as cluster
    from loadgen.lint import cli as lint
    from loadgen.local import clean
    from loadgen.sandbox import cli as sandbox
    from loadgen.selftest import cli as selftest
    from loadgen.whatif import cli as whatif
    from loadgen.whatif import plan_cli as plan

    if options.command == selftest.NAME:
        return selftest.run(options)
    if options.command == whatif.NAME:
        return whatif.run(options)
    if options.command == plan.NAME:
        return plan.run(options)
    if options.command in upload.NAMES:
        return upload.run(options)
    if options.command == clean.NAME:
        return clean.run(options)
    if options.command in ("deploy", "destroy"):
        return cluster.run(options)
    if options.command == lint.NAME:
        return lint.run(options)
    return sandbox.run(options)


def _settings() -> int:
    from loadgen.scenario.reference import markdown

    show(markdown().rstrip("\n"))
    return int(ExitCode.PASS)


def _report(options: argparse.Namespace) -> int:
    from loadgen_reports.sentences import summary_lines
    from loadgen_reports.write import FORMATS, check_formats, write_reports

    from loadgen.analyze.read import analyze_folder
    from loadgen.dataset.folder import RunFolder

    formats = FORMATS if options.reports is None else tuple(name.strip() for name in options.reports.split(","))
    check_formats(formats)
    pricing = _pricing(options)
    folder = RunFolder.open(options.run)
    analysis = analyze_folder(folder, pricing)
    paths = write_reports(analysis, folder.path, formats)
    if options.json:
        show(_machine(analysis, paths))
    else:
        lines = [*summary_lines(analysis), "", str(paths.get("report.html", folder.path))]
        show("\n".join(lines))
    return int(_VERDICT_CODE[analysis.verdict])


def _pricing(options: argparse.Namespace) -> "Pricing":
    """The prices of the flags; without values where a flag was not given."""
    from loadgen.scenario.settings import Pricing

    flags = {
        "per_gpu_hour": ("--price-per-gpu-hour", "use more than 0"),
        "currency": ("--currency", "use three capital letters, such as EUR"),
        "gpus_per_replica": ("--gpus-per-replica", "use a whole number from 1 to 1,000,000"),
    }
    given = {}
    for name, (flag, advice) in flags.items():
        value = getattr(options, flag.lstrip("-").replace("-", "_"))
        if value is None:
            continue
        given[name] = value
        try:
            Pricing(**{name: value})
        except SettingsError:
            raise SettingsError(f"{flag} {clean(value, 40)}: {advice}") from None
    return Pricing(**given)


def _report_group(options: argparse.Namespace) -> int | None:
    """Report on the group of runs that a folder is named after; None if there are no runs of such a group."""
    from loadgen_reports.group.text import summary_lines
    from loadgen_reports.group.write import write_group
    from loadgen_reports.write import FORMATS, check_formats

    from loadgen.analyze.group import Judged, judge
    from loadgen.analyze.read import analyze_folder
    from loadgen.dataset.group import members

    pricing = _pricing(options)
    formats = FORMATS if options.reports is None else tuple(name.strip() for name in options.reports.split(","))
    check_formats(formats)
    runs = [
        Judged.of(info.group, analyze_folder(folder, pricing))
        for folder, info in members(options.run)
        if info.group is not None and info.load_start_s is not None
    ]
    if not runs:
        return None
    group = judge(runs)
    paths = write_group(group, options.run, formats)
    if options.json:
        document = {
            "group": group.group_id,
            "verdict": group.verdict,
            "runs": [{"run": run.run_id, "verdict": run.verdict} for run in group.runs],
            "files": {name: str(path) for name, path in paths.items()},
        }
        show(json.dumps(document, indent=2))
    else:
        show("\n".join([*summary_lines(group), "", str(paths.get("report.html", options.run))]))
    return int(_VERDICT_CODE[group.verdict])


def _machine(analysis: "Analysis", paths: dict[str, Path]) -> str:
    findings = [
        {"code": f.code, "severity": f.severity, "passed": f.passed, "measured": f.measured, "limit": f.limit}
        for f in analysis.findings
    ]
    document = {
        "run": analysis.run.run_id,
        "verdict": analysis.verdict,
        "findings": findings,
        "files": {name: str(path) for name, path in paths.items()},
    }
    return json.dumps(document, indent=2)
