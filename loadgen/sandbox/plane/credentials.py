"""Issues the credentials of the control plane and writes kubeconfigs."""

import json
from dataclasses import dataclass

from loadgen.sandbox.config import API_SERVER, CONTROL_PLANE_IP, DOMAIN, KUBERNETES_IP, SandboxConfig
from loadgen.sandbox.plane.pki import Authority, Pair, service_account_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Certificates and keys of a sandbox.

    Attributes:
        ca: Authority of the cluster.
        front_proxy_ca: Authority of the aggregation layer.
        server: Serving certificate of the API server.
        kubelet_client: Client certificate of the API server for kubelets.
        front_proxy: Client certificate of the API server for aggregated API servers.
        service_accounts: Key pair that signs service-account tokens.
        admin: Client certificate with the group `system:masters`.
        users: Client certificates of components and nodes, by name.
    """

    ca: Authority
    front_proxy_ca: Authority
    server: Pair
    kubelet_client: Pair
    front_proxy: Pair
    service_accounts: Pair
    admin: Pair
    users: dict[str, Pair]


def issue_credentials(config: SandboxConfig) -> Credentials:
    """Return the credentials of a sandbox; missing ones are issued."""
    folder = config.folder / "pki"
    ca, front_proxy_ca = Authority(folder, "ca"), Authority(folder, "front-proxy-ca")
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
        front_proxy_ca=front_proxy_ca,
        server=ca.issue(
            "kube-apiserver",
            user="kube-apiserver",
            names=(*services, "localhost"),
            addresses=(CONTROL_PLANE_IP, KUBERNETES_IP, "127.0.0.1"),
        ),
        kubelet_client=ca.issue("kubelet-client", user="kube-apiserver-kubelet-client", group="system:masters"),
        front_proxy=front_proxy_ca.issue("front-proxy-client", user="front-proxy-client"),
        service_accounts=service_account_keys(folder),
        admin=ca.issue("admin", user="kubernetes-admin", group="system:masters"),
        users=users,
    )


def kubeconfig(ca: Pair, user: Pair, *, namespace: str = "default") -> str:
    """Return a kubeconfig for a user of the sandbox, as JSON."""
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
