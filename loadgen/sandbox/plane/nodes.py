"""Runs the nodes of a sandbox: one process kubelet each, which is not restarted when it exits."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import Child, spawn
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox import emulated
from loadgen.sandbox.config import API_SERVER, DNS_IP, DOMAIN, POD_GATEWAY, ComponentState, Node, SandboxConfig
from loadgen.sandbox.images import table, write_images
from loadgen.sandbox.plane.credentials import Credentials
from loadgen.sandbox.plane.kubectl import kubectl

_READY_WITHIN_S = 60.0
_POLL_S = 0.2
# shorter than the grace periods of pods, for which a shutdown does not wait
_STOP_WITHIN_S = 5.0


class Nodes:
    """The nodes of a sandbox."""

    def __init__(self, config: SandboxConfig, credentials: Credentials, *, logs: Path) -> None:
        self._config, self._credentials, self._logs = config, credentials, logs
        self._children: dict[str, Child] = {}
        self._exit_messages: dict[str, str] = {}

    async def start(self, report: Callable[[str], None]) -> None:
        """Start all kubelets and wait until all nodes are Ready.

        Raises:
            StackError: a kubelet exited, or a node is not Ready in time.
        """
        rows = table(self._config)
        if self._config.emulated:
            rows.insert(0, emulated.image(find_tritonserver(), self._config.folder / "bin"))
        write_images(self._config, rows)
        for number, node in enumerate(self._config.nodes):
            self._spawn(number, node)
        deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
        waiting = [node.name for node in self._config.nodes]
        while waiting:
            ready = await self._ready()
            waiting = [name for name in waiting if name not in ready]
            for name in waiting:
                code = self._children[name].poll()
                if code is not None:
                    raise StackError(_exit_message(name, self._children[name], code))
            if waiting and asyncio.get_running_loop().time() > deadline:
                log = self._children[waiting[0]].log
                raise StackError(f"node {waiting[0]} is not Ready: {log_tail(log)}; see {log}")
            await asyncio.sleep(_POLL_S)
        report(f"{len(self._children)} nodes are Ready")

    async def watch(self, report: Callable[[str], None]) -> None:
        """Report kubelets that exit; they are not restarted, so that tests can lose a node."""
        while True:
            for name, child in self._children.items():
                code = child.poll()
                if code is not None and name not in self._exit_messages:
                    self._exit_messages[name] = _exit_message(name, child, code)
                    report(self._exit_messages[name])
            await asyncio.sleep(5 * _POLL_S)

    def states(self) -> list[ComponentState]:
        """Return the states of the kubelets, with the exit messages of those that have exited."""
        return [
            ComponentState(
                name=f"kubelet {name}",
                pid=child.pid if child.poll() is None else 0,
                exit_message=self._exit_messages.get(name, ""),
            )
            for name, child in self._children.items()
        ]

    async def stop(self) -> None:
        """Stop all kubelets, and with them all pods."""
        for child in self._children.values():
            child.terminate()
        for _ in range(int(_STOP_WITHIN_S / _POLL_S)):
            if all(child.poll() is not None for child in self._children.values()):
                break
            await asyncio.sleep(_POLL_S)
        for child in self._children.values():
            child.stop(0.0)

    def _spawn(self, number: int, node: Node) -> None:
        file = self._config.folder / f"kubelet-{node.name}.json"
        file.write_text(json.dumps(self._settings(number, node), indent=1))
        self._children[node.name] = spawn(
            [sys.executable, "-m", "loadgen.sandbox.kubelet", file],
            log=self._logs / f"kubelet-{node.name}.log",
            parent_death_signal=signal.SIGTERM,
        )

    def _settings(self, number: int, node: Node) -> dict[str, object]:
        config, credentials = self._config, self._credentials
        pair = credentials.users[node.name]
        capacity = {"cpu": str(node.cpu), "memory": node.memory, "pods": "110", "ephemeral-storage": "500Gi"}
        labels = dict(node.labels)
        if node.gpu_product:
            capacity["nvidia.com/gpu"] = str(node.gpus)
            labels |= {
                "nvidia.com/gpu.product": node.gpu_product,
                "nvidia.com/gpu.count": str(node.gpus),
                "nvidia.com/gpu.present": "true",
            }
        return {
            "node": node.name,
            "ip": config.node_ip(number),
            "pod_cidr": config.pod_network(number),
            "pod_gateway": POD_GATEWAY,
            "capacity": capacity,
            "labels": labels,
            "taints": list(node.taints),
            "server": API_SERVER,
            "ca_file": str(credentials.ca.pair.cert),
            "cert_file": str(pair.cert),
            "key_file": str(pair.key),
            "serving_cert_file": str(pair.cert),
            "serving_key_file": str(pair.key),
            "api_clients": ["kube-apiserver-kubelet-client"],
            "data_dir": str(config.folder / "nodes" / node.name),
            "logs_dir": str(self._logs / "pods"),
            "cluster_dns": DNS_IP,
            "cluster_domain": DOMAIN,
            "ip_program": str(config.tools["ip"]),
            "images_file": str(config.folder / "images.json"),
            "image_pull_s": config.image_pull_s,
        }

    async def _ready(self) -> set[str]:
        template = '{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
        output = await kubectl(self._config, "get", "nodes", f"--output=jsonpath={template}")
        return {line.split()[0] for line in output.splitlines() if line.endswith(" True")}


def _exit_message(name: str, child: Child, code: int) -> str:
    return f"the kubelet of node {name} exited with {code}: {log_tail(child.log)}; see {child.log}"
