"""Runs the postStart and preStop hooks of a container."""

import asyncio

import aiohttp

from loadgen.sandbox.kubelet.container.probes import Exec, http_get
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.objects import Json

# the pod's grace period bounds a preStop hook; Kubernetes does not bound a postStart hook
MAX_HOOK_S = 3600.0


class HookError(ValueError):
    """A lifecycle hook failed."""


async def run_hook(handler: Json, container: Json, pod_ip: str, run: Exec) -> None:
    """Run a lifecycle handler to its end; the caller bounds its duration.

    An HTTP hook succeeds with a response of any status.

    Args:
        handler: The handler of the pod spec: `exec`, `httpGet` or `sleep`.
        container: Spec of the container, for named ports.
        pod_ip: Address of the pod.
        run: Runs a command in the container.

    Raises:
        HookError: the command failed, or there was no HTTP response.
    """
    try:
        if handler.get("exec"):
            command = list(handler["exec"].get("command") or [])
            code, output = await run(command, MAX_HOOK_S)
            if code:
                message = output.decode(errors="replace").strip()
                raise HookError(f"Exec lifecycle hook ({command}) failed: exit code {code}, message: {message!r}")
        elif handler.get("httpGet"):
            await http_get(handler["httpGet"], container, pod_ip, MAX_HOOK_S, purpose="lifecycle")
        elif handler.get("sleep"):
            await asyncio.sleep(float(handler["sleep"].get("seconds") or 0))
    except (aiohttp.ClientError, OSError, StartError) as error:
        raise HookError(f"lifecycle hook failed: {error}") from error
