"""Command lines of the components of the control plane.

The flags are those of kubeadm where they affect behaviour (RBAC, Node authorizer, aggregation layer), and chosen for a
machine with two cores otherwise.
"""

from pathlib import Path

from loadgen.sandbox.config import (
    CONTROL_PLANE_IP,
    DOMAIN,
    POD_NETWORK,
    SERVICE_NETWORK,
    SandboxConfig,
)
from loadgen.sandbox.plane.credentials import Credentials

_ETCD = "http://127.0.0.1:2379"
_ALLOW_PATHS = "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics"


def etcd(config: SandboxConfig) -> list[str | Path]:
    """Return the command line of etcd, on loopback."""
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


def api_server(config: SandboxConfig, credentials: Credentials) -> list[str | Path]:
    """Return the command line of kube-apiserver."""
    return [
        config.tools["kube-apiserver"],
        f"--etcd-servers={_ETCD}",
        f"--bind-address={CONTROL_PLANE_IP}",
        f"--advertise-address={CONTROL_PLANE_IP}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={credentials.server.cert}",
        f"--tls-private-key-file={credentials.server.key}",
        f"--client-ca-file={credentials.ca.pair.cert}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={credentials.kubelet_client.cert}",
        f"--kubelet-client-key={credentials.kubelet_client.key}",
        f"--kubelet-certificate-authority={credentials.ca.pair.cert}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={credentials.service_accounts.cert}",
        f"--service-account-signing-key-file={credentials.service_accounts.key}",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--proxy-client-cert-file={credentials.front_proxy.cert}",
        f"--proxy-client-key-file={credentials.front_proxy.key}",
        f"--requestheader-client-ca-file={credentials.front_proxy_ca.pair.cert}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]


def controller_manager(config: SandboxConfig, credentials: Credentials) -> list[str | Path]:
    """Return the command line of kube-controller-manager, with a service account for each controller."""
    file = config.folder / "kube-controller-manager.conf"
    return [
        config.tools["kube-controller-manager"],
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={credentials.ca.pair.cert}",
        f"--service-account-private-key-file={credentials.service_accounts.key}",
        f"--cluster-cidr={POD_NETWORK}",
        _ALLOW_PATHS,
        *config.controller_manager_flags,
    ]


def scheduler(config: SandboxConfig) -> list[str | Path]:
    """Return the command line of kube-scheduler."""
    file = config.folder / "kube-scheduler.conf"
    return [
        config.tools["kube-scheduler"],
        f"--kubeconfig={file}",
        f"--authentication-kubeconfig={file}",
        f"--authorization-kubeconfig={file}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        _ALLOW_PATHS,
    ]


def proxy(config: SandboxConfig) -> list[str | Path]:
    """Return the command line of the kube-proxy of all nodes, which share one network; it changes no sysctls."""
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
