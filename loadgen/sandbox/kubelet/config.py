"""Configuration of a process kubelet: node, credentials and folders."""

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from loadgen.base.checked import Settings
from loadgen.base.errors import SettingsError


class Taint(Settings):
    """A taint of the node, as in a node's spec."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class KubeletConfig(Settings):
    """The configuration file of one process kubelet.

    Attributes:
        node: Name of the node.
        ip: Address of the node in the network namespace that the kubelet runs in.
        pod_cidr: Network of the node's pods.
        pod_gateway: Default gateway of the pods; the same on all nodes.
        capacity: Resources of the node, as quantities.
        labels: Additional labels of the node.
        taints: Taints that the node registers with.
        server: URL of the API server.
        ca_file: Certificate authorities of the API server and of the clients of the kubelet's own API.
        cert_file: Client certificate of `system:node:NAME` in the group `system:nodes`.
        key_file: Key of the client certificate.
        serving_cert_file: Certificate of the kubelet's own API.
        serving_key_file: Key of that certificate.
        port: Port of the kubelet's own API on the node's address.
        api_clients: Common names that may call the kubelet's own API; empty for all clients of the authorities.
        data_dir: Folder of the node's pods; PersistentVolumes are in `volumes/` beside it.
        logs_dir: Folder of the container logs.
        cluster_dns: Address of the cluster's DNS server.
        cluster_domain: Domain of the cluster.
        ip_program: Absolute path of `ip` (iproute2).
        images_file: The image table (see `container/images.py`).
        image_pull_s: Emulated duration of the first pull of an image on this node, unless the image table sets one.
    """

    node: Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=63)]
    ip: IPv4Address
    pod_cidr: IPv4Network
    pod_gateway: IPv4Address = IPv4Address("10.244.0.1")
    capacity: dict[str, str]
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    server: str
    ca_file: Path
    cert_file: Path
    key_file: Path
    serving_cert_file: Path
    serving_key_file: Path
    port: Annotated[int, Field(ge=1, le=65535)] = 10250
    api_clients: tuple[str, ...] = ()
    data_dir: Path
    logs_dir: Path
    cluster_dns: IPv4Address = IPv4Address("10.96.0.10")
    cluster_domain: str = "cluster.local"
    ip_program: Path = Path("/usr/sbin/ip")
    images_file: Path
    image_pull_s: Annotated[float, Field(ge=0)] = 0.0

    @property
    def volumes_dir(self) -> Path:
        """Folder with a folder for each PersistentVolume, shared by all nodes."""
        folder: Path = self.data_dir.parent / "volumes"
        return folder


def read_config(path: Path) -> KubeletConfig:
    """Read the configuration from a JSON file.

    Raises:
        SettingsError: the file cannot be read, or a setting is invalid.
    """
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"the kubelet's configuration {path} cannot be read ({error}); write it again") from error
    if not isinstance(fields, dict):
        raise SettingsError(f"the kubelet's configuration {path} is not a JSON object; write it again")
    return KubeletConfig(**fields)
