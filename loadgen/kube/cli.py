"""`loadgen deploy | destroy`."""

import argparse
from pathlib import Path
from typing import Any

import yaml

from loadgen.errors import SettingsError
from loadgen.kube.deploy import RELEASE, deploy, destroy, merged, read_values
from loadgen.progress import say
from loadgen.settings import Kube


def add_commands(commands: Any) -> None:
    """Add the two to the subparsers of `loadgen`."""
    up = commands.add_parser(
        "deploy", help="install the bundled chart on a cluster by helm, and wait until its replicas are ready"
    )
    up.add_argument(
        "--values", "-f", type=Path, action="append", default=[], metavar="FILE", help="values of the chart"
    )
    up.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one value, such as mode=emulated")
    up.add_argument("--timeout-s", type=float, default=7200.0, help="longest wait (%(default)g)")
    down = commands.add_parser("destroy", help="remove what `deploy` installed; volumes with models stay")
    for command in (up, down):
        command.add_argument("release", nargs="?", default=RELEASE, help="name of the helm release (%(default)s)")
        command.add_argument("--context", default=None, help="context of the kubeconfig (the current one)")
        command.add_argument("--namespace", "-n", default=None, help="namespace (that of the context)")


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit code.

    Raises:
        LoadgenError: it cannot be done; the sentence says what to do next.
    """
    kube = Kube(context=options.context, namespace=options.namespace)
    if options.command == "destroy":
        destroy(kube, say=say, release=options.release)
        return 0
    values = read_values(*options.values)
    for setting in options.set:
        values = merged(values, _value(setting))
    deploy(kube, values, say=say, release=options.release, within_s=options.timeout_s)
    return 0


def _value(setting: str) -> dict[str, Any]:
    """`a.b=1` as values."""
    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set {setting} is no KEY=VALUE, such as autoscaling.maxReplicas=8")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {setting}: the value is no YAML") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found
