"""What a sandbox is made of, and what it says of itself; both as JSON files in its folder."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from loadgen.base.files import write_whole

CONTROL_PLANE_IP = "172.30.0.1"
POD_NETWORK = "10.244.0.0/16"
POD_GATEWAY = "10.244.0.1"
SERVICE_NETWORK = "10.96.0.0/16"
KUBERNETES_IP = "10.96.0.1"
DNS_IP = "10.96.0.10"
DOMAIN = "cluster.local"
API_SERVER = f"https://{CONTROL_PLANE_IP}:6443"

_MOST_NODES = 200


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Checked):
    """A node as asked for.

    Attributes:
        name: Its name.
        gpu_product: Label `nvidia.com/gpu.product`; None on a node without GPUs.
        gpus: Number of GPUs.
        cpu: Cores that pods may ask for; more than the machine has is allowed, nothing enforces it.
        memory: As a Kubernetes quantity.
        labels: More labels.
        taints: As in Kubernetes: key, value, effect.
    """

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?$")
    gpu_product: str | None = None
    gpus: int = Field(default=0, ge=0, le=1024)
    cpu: PositiveInt = 64
    memory: str = "256Gi"
    labels: dict[str, str] = {}
    taints: tuple[dict[str, str], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.gpus and not self.gpu_product:
            raise ValueError(f"node {self.name} has GPUs of no product: name one, such as NVIDIA-H100-80GB-HBM3")
        return self


class SandboxConfig(_Checked):
    """Everything that the plane needs to know.

    Attributes:
        name: Name of the sandbox.
        folder: Its folder: certificates, etcd's data, state, logs.
        tools: Absolute paths of the programs, by name.
        nodes: Its nodes; kube-proxy runs once for all of them. Without nodes there are no pods and no Services.
        image_pull_s: Emulated time of an image pull, the first time on each node.
        addons: Whether DNS, Prometheus with its operator, prometheus-adapter and Traefik are deployed.
        emulated: Whether the local stack's Triton stands for its image, so that the chart's mode emulated runs.
        controller_manager_flags: Flags on top of ours; the HPA's sync period and windows, for tests.
        durable: Whether etcd's data must survive a crash of the machine; a sandbox that is thrown away need not.
    """

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$")
    folder: Path
    tools: dict[str, Path]
    nodes: tuple[Node, ...] = Field(max_length=_MOST_NODES)
    image_pull_s: float = Field(default=0.0, ge=0.0)
    addons: bool = True
    emulated: bool = False
    controller_manager_flags: tuple[str, ...] = ()
    durable: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [node.name for node in self.nodes]
        if len(set(names)) < len(names):
            raise ValueError(f"two nodes have the same name among {', '.join(names)}: give each its own")
        if self.addons and not self.nodes:
            raise ValueError("add-ons need a node to run on: add one, or leave the add-ons out")
        return self

    @property
    def file(self) -> Path:
        """Where it is written."""
        return self.folder / "config.json"

    def write(self) -> None:
        """Write it into the folder."""
        write_whole(self.file, self.model_dump_json(indent=1).encode())

    def node_ip(self, number: int) -> str:
        """Address of a node."""
        return f"172.30.0.{10 + number}"

    def pod_network(self, number: int) -> str:
        """Addresses of a node's pods."""
        return f"10.244.{1 + number}.0/24"


class PartState(_Checked):
    """One program of the control plane.

    Attributes:
        name: `etcd`, `kube-apiserver` …
        pid: Process id inside the sandbox; 0 for a node's kubelet that is gone.
        restarts: How often it was started again.
        death: How it last ended by itself, as a sentence with the end of its log; empty if it never did.
    """

    name: str
    pid: int
    restarts: int = 0
    death: str = ""


class SandboxState(_Checked):
    """What stands at this moment.

    Attributes:
        phase: `ready` once everything serves; `failed` with a sentence.
        error: The sentence.
        parts: Programs of the control plane.
        doing: What the start-up does.
    """

    phase: Literal["starting", "ready", "stopping", "stopped", "failed"] = "starting"
    error: str | None = None
    parts: tuple[PartState, ...] = ()
    doing: str = ""

    @staticmethod
    def file(folder: Path) -> Path:
        """Where it is written."""
        return folder / "state.json"

    def write(self, folder: Path) -> None:
        """Replace the file, whole or not at all."""
        write_whole(self.file(folder), self.model_dump_json(indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> "SandboxState | None":
        """What was last written; None when nothing was."""
        try:
            return cls.model_validate_json(cls.file(folder).read_bytes())
        except FileNotFoundError:
            return None
