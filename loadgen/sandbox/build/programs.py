"""Lists the programs that are built from Go modules, and the custom resource definitions that Go modules contain.

`go/*/go.mod` and `go.sum` beside this file pin versions and checksums. Modules that Kubernetes also needs have the same
version everywhere, so Go compiles their packages only once; prometheus-adapter does not compile with these versions.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

KUBERNETES_VERSION = "v1.37.1"
PROMETHEUS_VERSION = "3.11.3"
"""Module v0.311.3."""

PINS = Path(__file__).parent / "go"
_MAJOR, _MINOR = KUBERNETES_VERSION[1:].split(".")[:2]
# without these flags the API server reports v0.0.0, which charts that check the version refuse
_KUBERNETES_FLAGS = "-s -w " + " ".join(
    f"-X k8s.io/component-base/version.git{name}={value}"
    for name, value in (("Version", KUBERNETES_VERSION), ("Major", _MAJOR), ("Minor", _MINOR))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to build.

    Attributes:
        name: File name of the program.
        pins: Folder below `go/` with the module that pins it.
        package: Import path of its main package.
        weight: Build time on two cores in seconds, for estimates.
        flags: Linker flags.
        tags: Build tags.
    """

    name: str
    pins: str
    package: str
    weight: int
    flags: str = "-s -w"
    tags: str = ""

    def key(self) -> str:
        """Return the name of its folder in the cache, with a checksum of pins, sources, package, flags and tags."""
        digest = hashlib.sha256(f"{self.package} {self.flags} {self.tags}".strip().encode())
        for file in sorted((PINS / self.pins).iterdir()):
            digest.update(file.read_bytes())
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
    Program(name="coredns", pins="coredns", package="sandbox/coredns", weight=110),
    # distributions build Prometheus without Kubernetes service discovery; this build has no other discovery
    Program(
        name="prometheus",
        pins="prometheus",
        package="github.com/prometheus/prometheus/cmd/prometheus",
        weight=150,
        flags=f"-s -w -X github.com/prometheus/common/version.Version={PROMETHEUS_VERSION}",
        tags="remove_all_sd,enable_kubernetes_sd",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crds:
    """CustomResourceDefinitions that a Go module contains as files.

    Attributes:
        name: Name of their folder among the tools.
        pins: Folder below `go/` with the module that pins the version.
        module: Module path.
        files: Paths of the files in the module.
    """

    name: str
    pins: str
    module: str
    files: tuple[str, ...]

    @property
    def file_names(self) -> tuple[str, ...]:
        """Return the names of the files in the cache."""
        return tuple(Path(file).name for file in self.files)

    def key(self) -> str:
        """Return the name of their folder in the cache."""
        digest = hashlib.sha256(" ".join(self.files).encode() + (PINS / self.pins / "go.sum").read_bytes())
        return f"sandbox-{self.name}-{digest.hexdigest()[:12]}"


CRDS = (
    Crds(
        name="operator-crds",
        pins="prometheus-operator",
        module="github.com/prometheus-operator/prometheus-operator",
        files=tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
            for kind in ("podmonitors", "probes", "prometheuses", "prometheusrules", "scrapeconfigs", "servicemonitors")
        ),
    ),
    Crds(
        name="traefik-crds",
        pins="traefik",
        module="github.com/traefik/traefik/v3",
        files=("integration/fixtures/k8s/01-traefik-crd.yml",),
    ),
    Crds(
        name="keda-crds",
        pins="keda",
        module="github.com/kedacore/keda/v2",
        files=("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ),
    Crds(
        name="gateway-crds",
        pins="gateway-api",
        module="sigs.k8s.io/gateway-api",
        files=tuple(
            f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"
            for kind in ("gatewayclasses", "gateways", "grpcroutes", "httproutes")
        ),
    ),
)
