"""`loadgen deploy | destroy`."""

import argparse
from pathlib import Path
from typing import Any

from loadgen.base.console import say

RELEASE = "triton"
"""Name of the helm release where none is given."""


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
    from loadgen.kube.deploy.release import deploy, destroy  # the Kubernetes library takes a second
    from loadgen.kube.deploy.values import merged, one_value, read_values
    from loadgen.scenario.settings import Kube

    kube = Kube(context=options.context, namespace=options.namespace)
    if options.command == "destroy":
        destroy(kube, say=say, release=options.release)
        return 0
    values = read_values(*options.values)
    for setting in options.set:
        values = merged(values, one_value(setting))
    deploy(kube, values, say=say, release=options.release, within_s=options.timeout_s)
    return 0
