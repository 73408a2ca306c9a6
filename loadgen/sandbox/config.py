"""Configuration and state of a sandbox, stored as JSON files in its folder."""

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

_MAX_NODES = 200
_CONFIG = "config.json"


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_StrictModel):
    """Configuration of a node.

    Attributes:
        name: Name of the node.
        gpu_product: Label `nvidia.com/gpu.product`; None on a node without GPUs.
        gpus: Number of GPUs.
        cpu: Cores that pods may request; may exceed the cores of the machine, as nothing enforces it.
        memory: Memory that pods may request, as a Kubernetes quantity.
        labels: Additional labels.
        taints: Taints with key, value and effect.
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
            raise ValueError(f"node {self.name} has GPUs without a product: set one, such as NVIDIA-H100-80GB-HBM3")
        return self


class SandboxConfig(_StrictModel):
    """Configuration of a sandbox.

    Attributes:
        name: Name of the sandbox.
        folder: Folder with certificates, etcd's data, state and logs.
        tools: Absolute paths of the programs, by name.
        nodes: Nodes of the sandbox; one kube-proxy serves all of them. Without nodes there are no pods and Services.
        image_pull_s: Emulated duration of the first pull of an image on each node.
        addons: Whether CoreDNS, Prometheus with its operator, prometheus-adapter and Traefik are deployed.
        emulated: Whether the image of Triton is the emulated Triton, as the chart's mode emulated requires.
        controller_manager_flags: Additional flags, such as the HPA's sync period.
        durable: Whether the data is kept after `down` and must survive a crash of the machine.
        of_run: Whether it was made for one run: a later run removes what a killed one left.
    """

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$")
    folder: Path
    tools: dict[str, Path]
    nodes: tuple[Node, ...] = Field(max_length=_MAX_NODES)
    image_pull_s: float = Field(default=0.0, ge=0.0)
    addons: bool = True
    emulated: bool = False
    controller_manager_flags: tuple[str, ...] = ()
    durable: bool = False
    of_run: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [node.name for node in self.nodes]
        if len(set(names)) < len(names):
            raise ValueError(f"two nodes have the same name ({', '.join(names)}): give each node its own name")
        if self.addons and not self.nodes:
            raise ValueError("add-ons need a node: add a node, or disable the add-ons")
        return self

    @classmethod
    def read(cls, folder: Path) -> "SandboxConfig":
        """Read the configuration of the sandbox in a folder."""
        return cls.model_validate_json((folder / _CONFIG).read_bytes())

    @property
    def file(self) -> Path:
        """Path of the configuration file."""
        return self.folder / _CONFIG

    def write(self) -> None:
        """Write the configuration file."""
        write_whole(self.file, self.model_dump_json(indent=1).encode())

    def node_ip(self, number: int) -> str:
        """Return the address of a node."""
        return f"172.30.0.{10 + number}"

    def pod_network(self, number: int) -> str:
        """Return the pod network of a node."""
        return f"10.244.{1 + number}.0/24"


class SandboxHolder(_StrictModel):
    """The process that holds the namespaces of a sandbox; its file is left when the sandbox is killed.

    Attributes:
        pid: Process id of `unshare`.
        started: Its start time, which tells it from later processes with the same id.
        of_run: Whether the sandbox was made for one run.
    """

    pid: int
    started: str
    of_run: bool = False

    @staticmethod
    def file(folder: Path) -> Path:
        """Return the path of the file."""
        return folder / "holder.json"

    def write(self, folder: Path) -> None:
        """Write the file."""
        write_whole(self.file(folder), self.model_dump_json().encode())

    @classmethod
    def read(cls, folder: Path) -> "SandboxHolder | None":
        """Read the file; None if there is none, or none that can be read."""
        try:
            return cls.model_validate_json(cls.file(folder).read_bytes())
        except (OSError, ValueError):
            return None


class ComponentState(_StrictModel):
    """State of a component of the control plane or of a node's kubelet.

    Attributes:
        name: Such as `etcd`, `kube-apiserver` or `kubelet node-1`.
        pid: Process id inside the sandbox; 0 for a kubelet that has exited.
        restarts: Number of restarts.
        exit_message: Message about its last unexpected exit; empty if there was none.
    """

    name: str
    pid: int
    restarts: int = 0
    exit_message: str = ""


class SandboxState(_StrictModel):
    """State of a sandbox.

    Attributes:
        phase: Phase of its life cycle; `ready` once everything is up.
        error: Error message in the phase `failed`.
        components: States of its components and kubelets.
        step: Current step of the start-up.
    """

    phase: Literal["starting", "ready", "stopping", "stopped", "failed"] = "starting"
    error: str | None = None
    components: tuple[ComponentState, ...] = ()
    step: str = ""

    @staticmethod
    def file(folder: Path) -> Path:
        """Return the path of the state file."""
        return folder / "state.json"

    def write(self, folder: Path) -> None:
        """Replace the state file atomically."""
        write_whole(self.file(folder), self.model_dump_json(indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> "SandboxState | None":
        """Read the state file; None if there is none."""
        try:
            return cls.model_validate_json(cls.file(folder).read_bytes())
        except FileNotFoundError:
            return None
