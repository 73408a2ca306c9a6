"""The network of a sandbox: one private network namespace that all nodes share, routed to the namespaces of the pods.

    node addresses 172.30.0.x, control plane 172.30.0.1     on lo
    services       10.96.0.0/16                             routed to lo, rewritten by kube-proxy
    pods           10.244.n.x                               a routed veth each, laid by the kubelet

Nothing leaves it: there is no route to anywhere else.
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
    # answers to a pod may come in by another way than they would go out
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}


def lay_network(config: SandboxConfig) -> None:
    """Give the namespace its addresses and routes, and see that it can have a service network.

    Raises:
        StackError: the kernel refuses; the sentence says what it lacks.
    """
    lines = ["link set lo up", f"addr add {CONTROL_PLANE_IP}/32 dev lo"]
    lines += [f"addr add {config.node_ip(number)}/32 dev lo" for number in range(len(config.nodes))]
    lines.append(f"route add {SERVICE_NETWORK} dev lo src {CONTROL_PLANE_IP}")
    ip_batch(config.tools["ip"], lines)
    for name, value in _SYSCTLS.items():
        file = Path("/proc/sys") / name
        try:
            file.write_text(value)
        except OSError as error:
            raise StackError(
                f"the sandbox cannot set {file} ({error.strerror}): run it as root, and try again"
            ) from error
    done = _run([config.tools["nft"], "-f", "-"], _hairpin(config))
    if done.returncode != 0:
        raise StackError(
            f"the sandbox needs nftables in the kernel, and it says: {_first_line(done.stderr)}: "
            "load the module nf_tables (`modprobe nf_tables`) or use a kernel from 5.13 on, and try again"
        )


def _hairpin(config: SandboxConfig) -> str:
    """Rules by which a pod reaches itself through a Service: to its own address it must come from another one.

    kube-proxy does so for the pods of its own node alone, and there is one for all nodes.
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


def ip_batch(ip: Path, lines: Sequence[str]) -> None:
    """Run several `ip` commands at once.

    Raises:
        StackError: one is refused; the sentence says which.
    """
    done = _run([ip, "-batch", "-"], "\n".join(lines) + "\n")
    if done.returncode != 0:
        raise StackError(f"the sandbox's network cannot be laid: {' '.join(done.stderr.split())}")


def _first_line(text: str) -> str:
    """`nft` repeats below it what it was asked for."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def _run(command: Sequence[str | Path], text: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
