"""The command lines of the control plane, and the credentials of everyone in it.

Flags as kubeadm sets them where that matters for behaviour (RBAC, Node authorizer, aggregation layer, leases of the API
server's endpoint), and as a machine with two cores needs them otherwise.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from loadgen.sandbox.config import (
    API_SERVER,
    CONTROL_PLANE_IP,
    DOMAIN,
    KUBERNETES_IP,
    POD_NETWORK,
    SERVICE_NETWORK,
    SandboxConfig,
)
from loadgen.sandbox.plane.pki import Authority, Pair, service_account_keys

_ETCD = "http://127.0.0.1:2379"
_OPEN = "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Certificates of one sandbox.

    Attributes:
        ca: Of the cluster.
        front_proxy_ca: Of the aggregation layer.
        server: The API server's own.
        to_kubelets: The API server as a client of kubelets.
        front_proxy: The API server as a client of aggregated API servers.
        service_accounts: Signs tokens.
        admin: `system:masters`.
        users: Others, by name.
    """

    ca: Authority
    front_proxy_ca: Authority
    server: Pair
    to_kubelets: Pair
    front_proxy: Pair
    service_accounts: Pair
    admin: Pair
    users: dict[str, Pair]


def credentials(config: SandboxConfig) -> Credentials:
    """Issue what is not there yet."""
    folder = config.folder / "pki"
    ca, front = Authority(folder, "ca"), Authority(folder, "front-proxy-ca")
    services = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}")
    users = {
        name: ca.issue(name, user=f"system:{name}")
        for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy")
    }
    for number, node in enumerate(config.nodes):
        users[node.name] = ca.issue(
            f"node-{node.name}",
            user=f"system:node:{node.name}",
            group="system:nodes",
            names=(node.name,),
            addresses=(config.node_ip(number),),
        )
    return Credentials(
        ca=ca,
        front_proxy_ca=front,
        server=ca.issue(
            "kube-apiserver",
            user="kube-apiserver",
            names=(*services, "localhost"),
            addresses=(CONTROL_PLANE_IP, KUBERNETES_IP, "127.0.0.1"),
        ),
        to_kubelets=ca.issue("kubelet-client", user="kube-apiserver-kubelet-client", group="system:masters"),
        front_proxy=front.issue("front-proxy-client", user="front-proxy-client"),
        service_accounts=service_account_keys(folder),
        admin=ca.issue("admin", user="kubernetes-admin", group="system:masters"),
        users=users,
    )


def kubeconfig(ca: Pair, user: Pair, *, namespace: str = "default") -> str:
    """A kubeconfig for one user of the sandbox, as JSON (which is YAML)."""
    cluster = {"server": API_SERVER, "certificate-authority": str(ca.cert)}
    client = {"client-certificate": str(user.cert), "client-key": str(user.key)}
    context = {"cluster": "sandbox", "user": "user", "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": "user", "user": client}],
        "contexts": [{"name": "sandbox", "context": context}],
        "current-context": "sandbox",
    }
    return json.dumps(document, indent=1)


def etcd(config: SandboxConfig) -> list[str | Path]:
    """The one etcd, on loopback."""
    peer = "http://127.0.0.1:2380"
    command: list[str | Path] = [
        config.tools["etcd"],
        f"--data-dir={config.folder / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        "--name=sandbox",
        f"--initial-cluster=sandbox={peer}",
        "--log-level=warn",
    ]
    return command if config.durable else [*command, "--unsafe-no-fsync"]


def api_server(config: SandboxConfig, own: Credentials) -> list[str | Path]:
    """kube-apiserver."""
    return [
        config.tools["kube-apiserver"],
        f"--etcd-servers={_ETCD}",
        f"--bind-address={CONTROL_PLANE_IP}",
        f"--advertise-address={CONTROL_PLANE_IP}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={own.server.cert}",
        f"--tls-private-key-file={own.server.key}",
        f"--client-ca-file={own.ca.pair.cert}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={own.to_kubelets.cert}",
        f"--kubelet-client-key={own.to_kubelets.key}",
        f"--kubelet-certificate-authority={own.ca.pair.cert}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={own.service_accounts.cert}",
        f"--service-account-signing-key-file={own.service_accounts.key}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--proxy-client-cert-file={own.front_proxy.cert}",
        f"--proxy-client-key-file={own.front_proxy.key}",
        f"--requestheader-client-ca-file={own.front_proxy_ca.pair.cert}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]


def controller_manager(config: SandboxConfig, own: Credentials) -> list[str | Path]:
    """kube-controller-manager, with every controller as its own service account, as kubeadm runs it."""
    file = config.folder / "kube-controller-manager.conf"
    return [
        config.tools["kube-controller-manager"],
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={own.ca.pair.cert}",
        f"--service-account-private-key-file={own.service_accounts.key}",
        f"--cluster-cidr={POD_NETWORK}",
        _OPEN,
        *config.controller_manager_flags,
    ]


def scheduler(config: SandboxConfig) -> list[str | Path]:
    """kube-scheduler."""
    file = config.folder / "kube-scheduler.conf"
    return [
        config.tools["kube-scheduler"],
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        _OPEN,
    ]


def proxy(config: SandboxConfig) -> list[str | Path]:
    """kube-proxy for all nodes, which share one network; without the settings that only a host may change."""
    return [
        config.tools["kube-proxy"],
        f"--kubeconfig={config.folder / 'kube-proxy.conf'}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={POD_NETWORK}",
        f"--hostname-override={config.nodes[0].name}",
        "--healthz-bind-address=127.0.0.1:10256",
        "--metrics-bind-address=127.0.0.1:10249",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]
