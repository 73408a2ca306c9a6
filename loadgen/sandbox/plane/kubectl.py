"""Runs kubectl inside the sandbox for the control plane itself."""

import asyncio
import contextlib

from loadgen.base.errors import StackError
from loadgen.sandbox.config import SandboxConfig

_TIMEOUT_S = 60.0


async def kubectl(config: SandboxConfig, *arguments: str, stdin: str = "") -> str:
    """Run kubectl as the cluster's admin and return its output.

    Raises:
        StackError: it failed; the message includes its standard error.
    """
    process = await asyncio.create_subprocess_exec(
        config.tools["kubectl"],
        f"--kubeconfig={config.folder / 'admin.conf'}",
        f"--cache-dir={config.folder / 'kubectl'}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), _TIMEOUT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise StackError(f"kubectl {' '.join(arguments[:3])} did not finish within {_TIMEOUT_S:g} s") from None
    if process.returncode != 0:
        raise StackError(f"kubectl {' '.join(arguments[:3])} failed: {err.decode(errors='replace').strip()[-600:]}")
    return out.decode()
