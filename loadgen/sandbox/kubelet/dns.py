"""Builds the host name, `/etc/hosts` and `/etc/resolv.conf` of a pod."""

from collections.abc import Mapping

from loadgen.sandbox.kubelet.objects import Json


def resolv_conf(pod: Json, *, cluster_dns: str, domain: str, node: Mapping[str, list[str]]) -> str:
    """Return the pod's `/etc/resolv.conf` for its dnsPolicy and dnsConfig.

    Args:
        pod: The pod.
        cluster_dns: Address of the cluster's DNS server.
        domain: Domain of the cluster.
        node: `nameservers`, `searches` and `options` of the node.
    """
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        servers, searches, options = [], [], []
    elif policy == "Default":
        servers, searches, options = (list(node.get(key, [])) for key in ("nameservers", "searches", "options"))
    else:
        servers = [cluster_dns]
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *node.get("searches", [])]
        options = ["ndots:5"]
    config = spec.get("dnsConfig") or {}
    servers += [each for each in config.get("nameservers") or [] if each not in servers]
    searches += [each for each in config.get("searches") or [] if each not in searches]
    for option in config.get("options") or []:
        options = [each for each in options if each.partition(":")[0] != option["name"]]
        options.append(f"{option['name']}:{option['value']}" if option.get("value") else option["name"])
    lines = [f"nameserver {each}" for each in servers[:3]]
    if searches:
        lines.append("search " + " ".join(dict.fromkeys(searches)))
    if options:
        lines.append("options " + " ".join(options))
    return "".join(f"{line}\n" for line in lines)


def read_resolv_conf(text: str) -> dict[str, list[str]]:
    """Return the `nameservers`, `searches` and `options` of a `resolv.conf`."""
    settings: dict[str, list[str]] = {"nameservers": [], "searches": [], "options": []}
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver":
            settings["nameservers"] += values[:1]
        elif keyword == "search":
            settings["searches"] = values
        elif keyword == "options":
            settings["options"] += values
    return settings


def hosts_file(pod: Json, pod_ip: str, hostname: str, node_file: str | None) -> str:
    """Return the pod's `/etc/hosts`, with its host aliases.

    Args:
        pod: The pod.
        pod_ip: Address of the pod.
        hostname: Host name of the pod.
        node_file: The node's `/etc/hosts`, which a pod with hostNetwork has too; else None.
    """
    if node_file is None:
        domain = pod["spec"].get("subdomain")
        fqdn = f"{hostname}.{domain}.{pod['metadata']['namespace']}.svc.cluster.local\t" if domain else ""
        text = (
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n"
            f"fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n{pod_ip}\t{fqdn}{hostname}\n"
        )
    else:
        text = f"# Kubernetes-managed hosts file (host network).\n{node_file}"
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([each["ip"], *(each.get("hostnames") or [])]) + "\n" for each in aliases)
    return text


def pod_hostname(pod: Json, node: str) -> str:
    """Return the pod's host name: `hostname` of its spec, else its name; the node's name with hostNetwork.

    A host name has at most 63 characters.
    """
    if pod["spec"].get("hostNetwork"):
        return node
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
