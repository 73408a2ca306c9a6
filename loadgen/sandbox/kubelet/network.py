"""Assigns addresses to pods and connects their network namespaces to the node's.

Every pod has a routed veth pair and there is no bridge: on a bridge, the replies of a Service's pods would reach the
client without passing the node's connection tracking, which has to translate them back to the Service's address.
"""

import asyncio
import hashlib
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.container.process import StartError

_IP_TIMEOUT_S = 15.0


@dataclass(slots=True)
class AddressPool:
    """The pod addresses of a node; a released address is reused only after all others.

    Attributes:
        network: Pod network of the node; its first two addresses and its last one are not assigned.
    """

    network: IPv4Network
    _used: set[IPv4Address] = field(default_factory=set)
    _last: int = 1

    def allocate(self) -> IPv4Address:
        """Return the next free address.

        Raises:
            StartError: all addresses are in use.
        """
        size = self.network.num_addresses - 3
        for step in range(size):
            offset = 2 + (self._last - 1 + step) % size
            address = self.network.network_address + offset
            if address not in self._used:
                self._used.add(address)
                self._last = offset
                return address
        raise StartError(f"no free address is left in {self.network}")

    def release(self, address: IPv4Address) -> None:
        """Return an address to the pool."""
        self._used.discard(address)


def interface_name(uid: str) -> str:
    """Return the name of the node's end of a pod's veth pair: 12 characters, derived from the pod's UID."""
    return f"veth{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def node_ip_commands(interface: str, pid: int, address: IPv4Address, config: KubeletConfig) -> str:
    """Return the `ip -batch` commands for the node's namespace: veth pair, gateway address and route to the pod.

    The source address of traffic from the node to the pod, such as probes, is the node's address.
    """
    return (
        f"link add {interface} type veth peer name eth0 netns {pid}\n"
        f"addr add {config.pod_gateway}/32 dev {interface}\n"
        f"link set {interface} up\n"
        f"route replace {address}/32 dev {interface} scope link src {config.ip}\n"
    )


def pod_ip_commands(address: IPv4Address, config: KubeletConfig) -> str:
    """Return the `ip -batch` commands for the pod's namespace."""
    return (
        "link set lo up\n"
        f"addr add {address}/32 dev eth0\n"
        "link set eth0 up\n"
        f"route add {config.pod_gateway}/32 dev eth0 scope link\n"
        f"route add default via {config.pod_gateway} dev eth0\n"
    )


class VethPair:
    """The veth pair between a pod's network namespace and the node's.

    Args:
        uid: UID of the pod.
        address: Address of the pod.
        config: Configuration of the node.
    """

    def __init__(self, uid: str, address: IPv4Address, config: KubeletConfig) -> None:
        self._interface = interface_name(uid)
        self._address = address
        self._config = config

    async def connect(self, pid: int) -> None:
        """Connect the network namespace of a process; a leftover pair of this pod is deleted first."""
        await self.delete()
        await run_ip(self._config.ip_program, node_ip_commands(self._interface, pid, self._address, self._config))

    async def delete(self) -> None:
        """Delete the pair at once; the kernel would do so only some time after the namespace's end."""
        if any(name == self._interface for _, name in socket.if_nameindex()):
            await run_ip(self._config.ip_program, f"link del {self._interface}\n", may_fail=True)


async def run_ip(program: Path, batch: str, *, may_fail: bool = False) -> None:
    """Run `ip -batch` in this network namespace.

    Raises:
        StartError: it failed, and `may_fail` is not set.
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
            _, stderr = await process.communicate(batch.encode())
    except TimeoutError:
        raise StartError(f"{program} did not answer within {_IP_TIMEOUT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode and not may_fail:
        raise StartError(f"the pod's network could not be set up: {stderr.decode(errors='replace').strip()}")
