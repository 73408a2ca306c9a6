"""Sets up the network of a sandbox: one network namespace that all nodes share, with routes to the pods' namespaces.

    nodes and control plane  172.30.0.x       addresses of lo
    Services                 10.96.0.0/16     routed to lo, translated by kube-proxy
    pods                     10.244.n.x       a routed veth pair each, created by the kubelet

There is no route to any other network.
"""

import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.sandbox.config import CONTROL_PLANE_IP, SERVICE_NETWORK, SandboxConfig

_TIMEOUT_S = 20.0
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # replies to a pod may arrive on another interface than the one that leads to their source
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}


def set_up_network(config: SandboxConfig) -> None:
    """Set the addresses, routes, sysctls and nftables rules of the namespace.

    Raises:
        StackError: the kernel lacks a feature or a permission.
    """
    lines = ["link set lo up", f"addr add {CONTROL_PLANE_IP}/32 dev lo"]
    lines += [f"addr add {config.node_ip(number)}/32 dev lo" for number in range(len(config.nodes))]
    lines.append(f"route add {SERVICE_NETWORK} dev lo src {CONTROL_PLANE_IP}")
    _run_ip(config.tools["ip"], lines)
    for name, value in _SYSCTLS.items():
        file = Path("/proc/sys") / name
        try:
            file.write_text(value)
        except OSError as error:
            raise StackError(
                f"the sandbox cannot set {file} ({error.strerror}): run it as root, and try again"
            ) from error
    result = _run([config.tools["nft"], "-f", "-"], _hairpin_rules(config))
    if result.returncode != 0:
        raise StackError(
            f"the sandbox needs nftables in the kernel ({_first_line(result.stderr)}): "
            "load the module nf_tables (`modprobe nf_tables`) or use kernel 5.13 or later, and try again"
        )


def _hairpin_rules(config: SandboxConfig) -> str:
    """Return rules that masquerade traffic of a pod to itself through a Service (hairpin traffic).

    kube-proxy masquerades it only for the pods of its own node, but one kube-proxy serves all nodes here.
    """
    networks = [IPv4Network(config.pod_network(number)) for number in range(len(config.nodes))]
    pairs = ", ".join(f"{pod} . {pod}" for network in networks for pod in network.hosts())
    elements = f"elements = {{ {pairs} }}" if pairs else ""
    return (
        "table ip loadgen {\n"
        f" set themselves {{ type ipv4_addr . ipv4_addr; {elements} }}\n"
        " chain hairpin {\n"
        "  type nat hook postrouting priority srcnat - 1;\n"
        "  ct status dnat ip saddr . ip daddr @themselves masquerade fully-random\n"
        " }\n"
        "}\n"
    )


def _run_ip(ip: Path, lines: Sequence[str]) -> None:
    result = _run([ip, "-batch", "-"], "\n".join(lines) + "\n")
    if result.returncode != 0:
        raise StackError(f"the sandbox's network could not be set up: {' '.join(result.stderr.split())}")


def _first_line(text: str) -> str:
    """Return the first line of an error of `nft`, which repeats its input below."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def _run(command: Sequence[str | Path], text: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
