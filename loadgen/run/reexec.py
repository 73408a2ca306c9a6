"""`--target sandbox`: Locust starts again inside a sandbox, before it has opened anything here."""

import argparse
import os
import sys

from loadgen.base.console import say

_TARGET_OF_A_SANDBOX = "sandbox"
_ONLY_TOLD = {"-h", "--help", "-V", "--version", "-l", "--list", "--show-task-ratio", "--show-task-ratio-json"}


def enter_sandbox_if_asked() -> None:
    """Run this very command inside a new sandbox and exit as it does, when the command line asks for that target.

    Raises:
        LoadgenError: the sandbox is not built, or does not come up.
    """
    # one import at a time, as the sandbox's rooms are many and hardly any run needs them
    from loadgen.sandbox.commands import INSIDE

    asked = _asked()
    if asked.target != _TARGET_OF_A_SANDBOX or INSIDE in os.environ or _ONLY_TOLD & set(sys.argv[1:]):
        return
    from loadgen.sandbox.session import run_inside, same_command

    web_port = None if asked.headless else asked.web_port
    sys.exit(run_inside(same_command(), say=say, web_port=web_port))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--target", default=os.environ.get("LOADGEN_TARGET"))
    # Locust reads these from the environment, too
    headless = os.environ.get("LOCUST_HEADLESS", "").lower() in ("true", "yes", "1")
    parser.add_argument("--headless", action="store_true", default=headless)
    parser.add_argument("-P", "--web-port", type=int, default=os.environ.get("LOCUST_WEB_PORT", "8089"))
    return parser.parse_known_args(sys.argv[1:])[0]
