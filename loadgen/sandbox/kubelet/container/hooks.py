"""Runs what a container asks for right after its start and right before its end."""

import asyncio

import aiohttp

from loadgen.sandbox.kubelet.container.probes import Exec, http_get
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.meta import Json

# the pod's grace period bounds a preStop hook; a postStart hook may take as long as its container may start
LONGEST_S = 3600.0


class HookFault(ValueError):
    """The hook failed; the sentence is for the container's status."""


async def run_hook(handler: Json, container: Json, pod_ip: str, run: Exec) -> None:
    """Run a lifecycle handler to its end; the caller bounds its time.

    Args:
        handler: `exec`, `httpGet` or `sleep`, as the pod spells it.
        container: Its container, for named ports.
        pod_ip: Address of the pod.
        run: Runs a command in the container.

    Raises:
        HookFault: the command failed, or nobody answered the request; what the answer was does not matter.
    """
    try:
        if handler.get("exec"):
            command = list(handler["exec"].get("command") or [])
            code, output = await run(command, LONGEST_S)
            if code:
                said = output.decode(errors="replace").strip()
                raise HookFault(f"Exec lifecycle hook ({command}) failed: exit code {code}, message: {said!r}")
        elif handler.get("httpGet"):
            await http_get(handler["httpGet"], container, pod_ip, LONGEST_S, purpose="lifecycle")
        elif handler.get("sleep"):
            await asyncio.sleep(float(handler["sleep"].get("seconds") or 0))
    except (aiohttp.ClientError, OSError, StartError) as error:
        raise HookFault(f"lifecycle hook failed: {error}") from error
