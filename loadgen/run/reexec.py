"""`--target sandbox`: runs the Locust command again inside a sandbox, before it opens any file or port outside."""

import argparse
import os
import sys

from loadgen.base.console import say

_SANDBOX = "sandbox"
INFORMATIONAL = {"-h", "--help", "-V", "--version", "-l", "--list", "--show-task-ratio", "--show-task-ratio-json"}


def enter_sandbox_if_requested() -> None:
    """Run this command inside a new sandbox and exit with its code, if the command line names that target.

    Raises:
        LoadgenError: the sandbox is not built, or does not start.
    """
    # imported here: most runs need nothing of the sandbox
    from loadgen.sandbox.commands import INSIDE

    options = early_options()
    if options.target != _SANDBOX or INSIDE in os.environ or INFORMATIONAL & set(sys.argv[1:]):
        return
    from loadgen.sandbox.session import run_inside, same_command

    web_port = None if options.headless else options.web_port
    sys.exit(run_inside(same_command(), say=say, web_port=web_port))


def early_options() -> argparse.Namespace:
    """The flags that must be known before Locust reads them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--target", default=os.environ.get("LOADGEN_TARGET"))
    parser.add_argument("--repeats", default=os.environ.get("LOADGEN_REPEATS"))
    # Locust also reads these from the environment
    for flag, variable in (
        ("--headless", "LOCUST_HEADLESS"),
        ("--master", "LOCUST_MODE_MASTER"),
        ("--worker", "LOCUST_MODE_WORKER"),
    ):
        is_set = os.environ.get(variable, "").lower() in ("true", "yes", "1")
        parser.add_argument(flag, action="store_true", default=is_set)
    parser.add_argument("-P", "--web-port", type=int, default=os.environ.get("LOCUST_WEB_PORT", "8089"))
    return parser.parse_known_args(sys.argv[1:])[0]
