"""Plays series in parallel on the controller of a sandbox; `record.py` runs it inside the sandbox.

python -m support.hpa.play OUT HOLD_S APART_S NAME…
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from loadgen.sandbox.config import SandboxState
from loadgen.sandbox.plane.pki import Authority
from support.hpa.api import Api
from support.hpa.recorder import Recorder
from support.hpa.series import SERIES
from support.hpa.steps import Series, pods
from support.servers.metrics_api import TARGET_GROUP, ApiError, MetricsServer, manifests

_PORTS = {"custom.metrics.k8s.io": 9441, "external.metrics.k8s.io": 9442, "metrics.k8s.io": 9443, TARGET_GROUP: 9444}
_PROBE = "twin-probe"
_PROBE_S = 1.0
_READY_S = 60.0


class Script:
    """Answers the requests of all series, which are told apart by namespace."""

    def __init__(self) -> None:
        self.recorders: dict[str, Recorder] = {}
        self.probed = asyncio.Event()

    async def scale(self, namespace: str, name: str) -> dict[str, Any]:
        if namespace == _PROBE:
            self.probed.set()
        return await self._of(namespace).scale(name)

    async def rescale(self, namespace: str, replicas: int) -> dict[str, Any]:
        return await self._of(namespace).rescale(replicas)

    async def pods_metric(self, namespace: str, metric: str) -> dict[str, str]:
        return await self._of(namespace).metric(metric)

    async def object_metric(self, namespace: str, metric: str) -> str:
        return await self._of(namespace).metric(metric)

    async def external_metric(self, namespace: str, metric: str) -> list[str]:
        return await self._of(namespace).metric(metric)

    async def resource_metrics(self, namespace: str) -> list[dict[str, Any]]:
        recorder = self._of(namespace)
        return [
            {
                "name": pod,
                "timestamp": recorder.clock.text(sample["at_s"]),
                "window": f"{sample['window_s']}s",
                "containers": [{"name": name, "usage": usage} for name, usage in sample["usage"].items()],
            }
            for pod, sample in (await recorder.metric("resource")).items()
        ]

    def _of(self, namespace: str) -> Recorder:
        if namespace not in self.recorders:
            raise ApiError(404, "NotFound", f"no series runs in {namespace}")
        return self.recorders[namespace]


async def play(names: list[str], *, hold_s: float, apart_s: float) -> list[dict[str, Any]]:
    """Play series, each started `apart_s` after the previous one; every sync is answered after `hold_s`."""
    script, servers = Script(), {}
    folder = Path(os.environ["KUBECONFIG"]).parent / "metrics-server"
    pair = Authority(folder, "ca").issue("metrics-server", user="metrics-server", names=("localhost",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    for group, port in _PORTS.items():
        servers[group] = MetricsServer(script, context, port)
        await servers[group].start()
    async with Api() as api:
        await _register(api)
        await _introduce(api, script)
        recorders = [
            Recorder(SERIES[name], api, hold_s=hold_s, servers=servers, restart=_restart_controllers) for name in names
        ]
        for recorder in recorders:
            script.recorders[recorder.namespace] = recorder
            await recorder.begin()
            await asyncio.sleep(apart_s)
        await asyncio.gather(*(recorder.done.wait() for recorder in recorders))
        for recorder in recorders:
            await api.call("DELETE", f"/api/v1/namespaces/{recorder.namespace}")
    for server in servers.values():
        await server.stop()
    return [recorder.recording() for recorder in recorders]


async def _register(api: Api) -> None:
    """Register the aggregated APIs and wait until the API server forwards requests to them."""
    for manifest in manifests(_PORTS):
        services = manifest["kind"] == "Service"
        path = "/api/v1/namespaces/default/services" if services else "/apis/apiregistration.k8s.io/v1/apiservices"
        with contextlib.suppress(RuntimeError):  # registered by an earlier call
            await api.call("POST", path, manifest)
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        listed = (await api.call("GET", "/apis/apiregistration.k8s.io/v1/apiservices"))["items"]
        if all(_available(each) for each in listed):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the metric APIs did not become available within {_READY_S:g} s")


def _available(service: dict[str, Any]) -> bool:
    conditions = service.get("status", {}).get("conditions", ())
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


async def _introduce(api: Api, script: Script) -> None:
    """Wait until the controllers know our kind; they discover new kinds at their start and every 30 s."""
    hpas = f"/apis/autoscaling/v2/namespaces/{_PROBE}/horizontalpodautoscalers"
    with contextlib.suppress(RuntimeError):
        await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": _PROBE}})
    await api.call("POST", hpas, Series(name="probe", claim="", metrics=[pods()], steps=()).manifest())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(script.probed.wait(), _PROBE_S)
    if not script.probed.is_set():
        await _restart_controllers()
        await asyncio.wait_for(script.probed.wait(), _READY_S)
    await api.call("DELETE", f"{hpas}/web")


async def _restart_controllers() -> None:
    """Kill the controller manager, which the sandbox restarts."""
    state = SandboxState.read(Path(os.environ["KUBECONFIG"]).parent)
    assert state is not None
    os.kill(next(each.pid for each in state.components if each.name == "kube-controller-manager"), signal.SIGKILL)


def main(out: str, hold_s: str, apart_s: str, *names: str) -> int:
    """Play series and write their recordings; return the exit code."""
    recordings = asyncio.run(play(list(names), hold_s=float(hold_s), apart_s=float(apart_s)))
    Path(out).write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in recordings))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
