"""Implements the command `loadgen lint`."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from loadgen.base.console import say, show
from loadgen.base.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from loadgen.lint.objects import Objects
    from loadgen.lint.pitfall import Pitfall

NAME = "lint"
_RELEASE = "triton"
_MAX_NAMED = 12


def add_command(commands: Any) -> None:
    """Add the command to the subparsers of `loadgen`."""
    parser = commands.add_parser(
        NAME, help="find pitfalls of autoscaling in values of the bundled chart, in manifests, or in a live namespace"
    )
    parser.add_argument(
        "input",
        nargs="*",
        metavar="FILE",
        help="values of the bundled chart, manifests, a folder of manifests, or - for manifests on standard input",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a single value of the chart, such as mode=emulated",
    )
    parser.add_argument(
        "--namespace", "-n", default=None, help="a live namespace to read instead of files; with files, their namespace"
    )
    parser.add_argument("--context", default=None, help="context of the kubeconfig (default: the current context)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    parser.add_argument("--json", action="store_true", help="print the pitfalls as JSON")


def run(options: argparse.Namespace) -> int:
    """Find and print pitfalls; returns the exit code: 1 where there are errors, or with `--strict` anything.

    Raises:
        LoadgenError: the input cannot be read; the message says what to do next.
    """
    from loadgen.lint.lint import lint

    objects = _objects(options)
    found, checked = lint(objects)
    more = f" and {len(checked) - _MAX_NAMED} more" if len(checked) > _MAX_NAMED else ""
    say(f"checked {', '.join(checked[:_MAX_NAMED])}{more}")
    for kind, reason in objects.unread.items():
        say(f"not checked: objects of kind {kind} ({reason})")
    show(_machine(found, objects) if options.json else _text(found))
    errors = sum(each.severity == "error" for each in found)
    return int(ExitCode.FAIL if errors or (options.strict and found) else ExitCode.PASS)


def _objects(options: argparse.Namespace) -> "Objects":
    from loadgen.lint.objects import read_objects

    if not options.input and not options.set:
        if options.namespace is None:
            raise SettingsError("nothing to check: give a file of values, manifests, a folder, -, or --namespace")
        from loadgen.kube.client.api import Api
        from loadgen.lint.namespace import read_namespace

        return read_namespace(Api(options.context), options.namespace)
    if options.context is not None:
        raise SettingsError("--context is for a live namespace: leave it out, or give --namespace without files")
    manifests = _manifests(options)
    return read_objects(manifests, namespace=options.namespace or "default")


def _manifests(options: argparse.Namespace) -> list[tuple[str, Any]]:
    from loadgen.kube.deploy.values import merge, parse_set
    from loadgen.lint.manifests import read_input

    inputs = [read_input(path) for path in options.input]
    manifests = [each for read in inputs for each in read.manifests]
    values: dict[str, Any] | None = None
    for read in inputs:
        if read.values is not None:
            values = merge(values or {}, read.values)
    for option in options.set:
        if values is None and manifests:
            raise SettingsError("--set is for values of the chart, and the input has manifests: leave it out")
        values = merge(values or {}, parse_set(option))
    if values is not None:
        from loadgen.lint.render import rendered

        manifests += rendered(values, release=_RELEASE, namespace=options.namespace or "default")
    return manifests


def _text(found: "list[Pitfall]") -> str:
    if not found:
        return "no pitfalls found"
    lines: list[str] = []
    for each in found:
        lines += [
            f"{each.severity}: {each.declared.code}",
            f"  {each.kind} {each.name} in namespace {each.namespace} ({each.source})",
            f"  {each.field}: {each.value}",
            *([f"  value of the chart: {each.chart_value}"] if each.chart_value else []),
            f"  {each.declared.consequence}",
            f"  {each.declared.fix}",
            "",
        ]
    return "\n".join([*lines, _summary(found)])


def _summary(found: "list[Pitfall]") -> str:
    errors = sum(each.severity == "error" for each in found)
    counts = ((errors, "error"), (len(found) - errors, "warning"))
    return ", ".join(f"{number} {name}{'s' if number != 1 else ''}" for number, name in counts)


def _machine(found: "list[Pitfall]", objects: "Objects") -> str:
    errors = sum(each.severity == "error" for each in found)
    document = {
        "errors": errors,
        "warnings": len(found) - errors,
        "pitfalls": [each.as_json() for each in found],
        "unread": dict(objects.unread),
    }
    return json.dumps(document, indent=2)
