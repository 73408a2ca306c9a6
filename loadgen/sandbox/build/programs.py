"""What the sandbox is made of, pinned: programs that are built from Go modules, and definitions that lie in them.

Which versions is said by `go/*/go.mod` and `go.sum` beside this file, to the last checksum.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

KUBERNETES_VERSION = "v1.37.1"
PROMETHEUS_VERSION = "3.15.0"
"""Module v0.315.0."""

PINS = Path(__file__).parent / "go"
_MAJOR, _MINOR = KUBERNETES_VERSION[1:].split(".")[:2]
# What `go tool` cannot pass: without it the API server says v0.0.0, and charts that ask for its version refuse it.
_KUBERNETES_FLAGS = "-s -w " + " ".join(
    f"-X k8s.io/component-base/version.git{name}={value}"
    for name, value in (("Version", KUBERNETES_VERSION), ("Major", _MAJOR), ("Minor", _MINOR))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program that is built.

    Attributes:
        name: Its file name.
        pins: Folder below `go/` with the module that pins it.
        package: Import path of its main package.
        weight: How long it takes compared to the others, seconds on two cores.
        flags: Flags for the linker.
        tags: Build tags.
    """

    name: str
    pins: str
    package: str
    weight: int
    flags: str = "-s -w"
    tags: str = ""

    def key(self) -> str:
        """Name of its folder in the cache: name and checksum of everything that makes it what it is."""
        digest = hashlib.sha256(f"{self.package} {self.flags} {self.tags}".strip().encode())
        for file in ("go.mod", "go.sum"):
            digest.update((PINS / self.pins / file).read_bytes())
        return f"sandbox-{self.name}-{digest.hexdigest()[:12]}"


PROGRAMS = (
    Program(name="etcd", pins="etcd", package="go.etcd.io/etcd/server/v3", weight=40),
    *(
        Program(
            name=name,
            pins="kubernetes",
            package=f"k8s.io/kubernetes/cmd/{name}",
            weight=weight,
            flags=_KUBERNETES_FLAGS,
        )
        for name, weight in (
            ("kube-apiserver", 260),
            ("kube-controller-manager", 130),
            ("kube-scheduler", 15),
            ("kube-proxy", 20),
        )
    ),
    Program(
        name="prometheus-adapter",
        pins="prometheus-adapter",
        package="sigs.k8s.io/prometheus-adapter/cmd/adapter",
        weight=130,
    ),
    *(
        Program(
            name=name,
            pins="prometheus-operator",
            package=f"github.com/prometheus-operator/prometheus-operator/cmd/{package}",
            weight=weight,
        )
        for name, package, weight in (
            ("prometheus-operator", "operator", 130),
            ("prometheus-config-reloader", "prometheus-config-reloader", 10),
        )
    ),
    Program(name="coredns", pins="coredns", package="github.com/coredns/coredns", weight=110),
    # Distributions build theirs without the discovery of Kubernetes; this one has no other.
    Program(
        name="prometheus",
        pins="prometheus",
        package="github.com/prometheus/prometheus/cmd/prometheus",
        weight=150,
        flags=f"-s -w -X github.com/prometheus/common/version.Version={PROMETHEUS_VERSION}",
        tags="netgo,remove_all_sd,enable_kubernetes_sd",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """CustomResourceDefinitions that lie as files inside a Go module.

    Attributes:
        name: Name of their folder among the tools.
        pins: Folder below `go/` with the module that pins theirs.
        module: The module that has them.
        files: Where, relative to the module.
    """

    name: str
    pins: str
    module: str
    files: tuple[str, ...]

    def key(self) -> str:
        """Name of their folder in the cache."""
        digest = hashlib.sha256(" ".join(self.files).encode() + (PINS / self.pins / "go.sum").read_bytes())
        return f"sandbox-{self.name}-{digest.hexdigest()[:12]}"


DEFINITIONS = (
    Definitions(
        name="operator-crds",
        pins="prometheus-operator",
        module="github.com/prometheus-operator/prometheus-operator",
        files=tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
            for kind in ("podmonitors", "probes", "prometheuses", "prometheusrules", "scrapeconfigs", "servicemonitors")
        ),
    ),
    Definitions(
        name="traefik-crds",
        pins="traefik",
        module="github.com/traefik/traefik/v3",
        files=("integration/fixtures/k8s/01-traefik-crd.yml",),
    ),
    Definitions(
        name="keda-crds",
        pins="keda",
        module="github.com/kedacore/keda/v2",
        files=("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ),
    Definitions(
        name="gateway-crds",
        pins="gateway-api",
        module="sigs.k8s.io/gateway-api",
        files=tuple(
            f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
            for kind in ("gatewayclasses", "gateways", "grpcroutes", "httproutes")
        ),
    ),
)
