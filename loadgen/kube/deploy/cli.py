"""Implements the commands `loadgen deploy` and `loadgen destroy`."""

import argparse
from pathlib import Path
from typing import Any

from loadgen.base.console import say

RELEASE = "triton"
"""Default name of the helm release."""


def add_commands(commands: Any) -> None:
    """Add both commands to the subparsers of `loadgen`."""
    up = commands.add_parser(
        "deploy", help="install the bundled chart on a cluster with helm, and wait until its replicas are ready"
    )
    up.add_argument(
        "--values",
        "-f",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="YAML file with values of the chart; later files override earlier ones",
    )
    up.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a single value, such as mode=emulated"
    )
    up.add_argument(
        "--timeout-s",
        type=float,
        default=7200.0,
        help="longest time to wait for the replicas, in seconds (default: %(default)g)",
    )
    up.add_argument(
        "--patience-s",
        type=float,
        default=300.0,
        help="how long a pod may be blocked (no node, no image, crashes) before that is an error, in seconds "
        "(default: %(default)g)",
    )
    down = commands.add_parser("destroy", help="uninstall a release of `deploy`; volumes with models are kept")
    for command in (up, down):
        command.add_argument(
            "release", nargs="?", default=RELEASE, help="name of the helm release (default: %(default)s)"
        )
        command.add_argument("--context", default=None, help="context of the kubeconfig (default: the current context)")
        command.add_argument("--namespace", "-n", default=None, help="namespace (default: that of the context)")


def run(options: argparse.Namespace) -> int:
    """Run a command and return its exit code.

    Raises:
        LoadgenError: the command fails; the message says what to do next.
    """
    from loadgen.kube.deploy.release import deploy, destroy  # importing the Kubernetes library takes a second
    from loadgen.kube.deploy.values import merge, parse_set, read_values
    from loadgen.scenario.fleets import Kube

    if options.command == "destroy":
        destroy(Kube(context=options.context, namespace=options.namespace), say=say, release=options.release)
        return 0
    kube = Kube(context=options.context, namespace=options.namespace, patience_s=options.patience_s)
    values = read_values(*options.values)
    for option in options.set:
        values = merge(values, parse_set(option))
    deploy(kube, values, say=say, release=options.release, within_s=options.timeout_s)
    return 0
