"""DNS and host names of pods: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/."""

from typing import Any

import pytest

from loadgen.sandbox.kubelet.dns import hosts_file, pod_hostname, read_resolv_conf, resolv_conf


def dns(**spec: Any) -> str:
    node = {"nameservers": ["9.9.9.9"], "searches": ["lan"], "options": ["timeout:1"]}
    pod = {"metadata": {"namespace": "n"}, "spec": spec}
    return resolv_conf(pod, cluster_dns="10.96.0.10", domain="cluster.local", node=node)


CLUSTER = "nameserver 10.96.0.10\nsearch n.svc.cluster.local svc.cluster.local cluster.local lan\noptions ndots:5\n"
NODE = "nameserver 9.9.9.9\nsearch lan\noptions timeout:1\n"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "Default"}, NODE),
        ({"hostNetwork": True}, NODE),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}, "nameserver 1.1.1.1\n"),
        ({"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}, CLUSTER.replace("ndots:5", "ndots:2")),
    ],
)
def test_dns_policy(spec: dict[str, Any], text: str) -> None:
    """Each dnsPolicy has its documented servers, search domains and options, merged with dnsConfig."""
    assert dns(**spec) == text


def test_resolv_conf_of_the_node() -> None:
    """Name servers, search domains and options are read from the node's file."""
    settings = read_resolv_conf("# comment\nnameserver 1.2.3.4\nsearch a b\noptions x y:1\n")
    assert settings == {"nameservers": ["1.2.3.4"], "searches": ["a", "b"], "options": ["x", "y:1"]}


@pytest.mark.parametrize(
    ("spec", "name"),
    [({}, "p"), ({"hostname": "h"}, "h"), ({"hostNetwork": True}, "node-0")],
)
def test_host_name(spec: dict[str, Any], name: str) -> None:
    """The host name is `hostname`, else the pod's name; with hostNetwork it is the node's name."""
    assert pod_hostname({"metadata": {"name": "p"}, "spec": spec}, "node-0") == name


def test_long_host_names_are_truncated() -> None:
    """A host name has at most 63 characters and does not end with a dash."""
    assert pod_hostname({"metadata": {"name": "a" * 62 + "-b"}, "spec": {}}, "") == "a" * 62


def test_hosts_file() -> None:
    """/etc/hosts has the pod's address and the host aliases."""
    pod = {"metadata": {"namespace": "n"}, "spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}}
    text = hosts_file(pod, "10.244.1.5", "p", None)
    assert "\n10.244.1.5\tp\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
