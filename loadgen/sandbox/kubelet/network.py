"""A pod's place in the network: its address, and the wire from its namespace to the node's.

Every pod has a routed pair of interfaces and no bridge: on a bridge, the replies of a Service's pods would reach the
client without passing the node's connection tracking, which has to give them back the Service's address.
"""

import asyncio
import hashlib
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.container.process import StartError, Wire

_IP_TIMEOUT_S = 15.0


@dataclass(slots=True)
class Addresses:
    """The pod addresses of a node: each is used again only when all others have been.

    Attributes:
        network: The node's pod network; its first and last address and the one after the first are not given out.
    """

    network: IPv4Network
    _used: set[IPv4Address] = field(default_factory=set)
    _last: int = 1

    def take(self) -> IPv4Address:
        """The next free address.

        Raises:
            StartError: all are in use.
        """
        room = self.network.num_addresses - 3
        for step in range(room):
            offset = 2 + (self._last - 1 + step) % room
            address = self.network.network_address + offset
            if address not in self._used:
                self._used.add(address)
                self._last = offset
                return address
        raise StartError(f"no free address is left in {self.network}")

    def give_back(self, address: IPv4Address) -> None:
        """Let an address be used again."""
        self._used.discard(address)


def interface_name(uid: str) -> str:
    """Name of the node's end of a pod's wire: 12 characters, the same for the same pod."""
    return f"veth{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def node_batch(interface: str, pid: int, address: IPv4Address, config: KubeletConfig) -> str:
    """What `ip -batch` does on the node: the wire, the gateway's address on it, the route to the pod.

    The node's own address is the source of what it sends to the pod, as a probe does.
    """
    return (
        f"link add {interface} type veth peer name eth0 netns {pid}\n"
        f"addr add {config.pod_gateway}/32 dev {interface}\n"
        f"link set {interface} up\n"
        f"route replace {address}/32 dev {interface} scope link src {config.ip}\n"
    )


def pod_batch(address: IPv4Address, config: KubeletConfig) -> str:
    """What `ip -batch` does in the pod's namespace."""
    return (
        "link set lo up\n"
        f"addr add {address}/32 dev eth0\n"
        "link set eth0 up\n"
        f"route add {config.pod_gateway}/32 dev eth0 scope link\n"
        f"route add default via {config.pod_gateway} dev eth0\n"
    )


class PodWire(Wire):
    """The wire of one pod.

    Args:
        uid: The pod's UID.
        address: The pod's address.
        config: The node.
    """

    def __init__(self, uid: str, address: IPv4Address, config: KubeletConfig) -> None:
        self._interface = interface_name(uid)
        self._address = address
        self._config = config

    async def __call__(self, pid: int) -> None:
        """Connect the namespace of a process; a wire that a former pod of this UID left goes first."""
        await self.cut()
        await run_ip(self._config.ip_program, node_batch(self._interface, pid, self._address, self._config))

    async def cut(self) -> None:
        """Take the wire away at once, rather than when the kernel has let go of the namespace."""
        if any(name == self._interface for _, name in socket.if_nameindex()):
            await run_ip(self._config.ip_program, f"link del {self._interface}\n", may_fail=True)


async def run_ip(program: Path, batch: str, *, may_fail: bool = False) -> None:
    """Run `ip -batch` in this network namespace.

    Raises:
        StartError: it failed, and it may not.
    """
    process = await asyncio.create_subprocess_exec(
        str(program),
        "-batch",
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_IP_TIMEOUT_S):
            _, told = await process.communicate(batch.encode())
    except TimeoutError:
        raise StartError(f"{program} did not answer within {_IP_TIMEOUT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode and not may_fail:
        raise StartError(f"the pod's network could not be set up: {told.decode(errors='replace').strip()}")
