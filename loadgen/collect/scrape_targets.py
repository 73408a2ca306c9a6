"""Reads the addresses to collect from: in `stack/state.json`, or in the settings for an existing server."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from loadgen.base.checked import error_sentence
from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import DatasetError
from loadgen.base.text import clean
from loadgen.collect.connections import connection_to
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A serving pod: `metrics` is the URL of its /metrics; data is expected from it while it is `ready`.

    `ports` are its ports for requests, if it is on this machine.
    """

    name: str
    metrics: str
    ready: bool
    ports: tuple[int, ...] = ()


class Node(BaseModel):
    """A node with its CPUs and its memory; None where it does not report them."""

    name: str
    cpu_cores: float | None = None
    memory_bytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUse:
    """Where the use is read, and what it is divided by.

    Attributes:
        nodes_url: URL of the nodes; None where they cannot be read.
        replicas_url: URL of the replicas; None where they cannot be read.
        nodes: The nodes with replicas on them, by name.
        node_of: Node of each replica.
    """

    nodes_url: str | None = None
    replicas_url: str | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    node_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeTargets:
    """The addresses to collect from at one time.

    Attributes:
        prometheus: Base URL of Prometheus; None while there is none.
        custom_metrics: URL of the metric in the custom metrics API; None without one.
        use: Where a cluster's metrics API has the use of nodes and replicas, and what the nodes have.
        model: Model under test, whose counters are read; None while it is unknown.
        replicas: Replicas with an address.
        names: Names of all replicas.
        serving: Whether a replica is ready, so Prometheus must have samples.
    """

    prometheus: str | None = None
    custom_metrics: str | None = None
    use: NodeUse = field(default_factory=NodeUse)
    model: str | None = None
    replicas: tuple[Replica, ...] = ()
    names: tuple[str, ...] = ()
    serving: bool = False


class _Replica(BaseModel):
    name: str
    phase: str
    http: str | None = None
    grpc: str | None = None
    metrics: str | None = None
    node: str | None = None


class _State(BaseModel):
    phase: str = "starting"
    prometheus: str | None = None
    custom_metrics: str | None = None
    node_use: str | None = None
    replica_use: str | None = None
    model: str | None = None
    replicas: list[_Replica] = []
    nodes: list[Node] = []


class StackTargets:
    """Follows `stack/state.json`, which the local stack or the observer of a cluster replaces at every change.

    Attributes:
        to_metrics: None: replicas are reached directly.
        to_prometheus: None: Prometheus needs nothing but its URL.
    """

    def __init__(self, folder: RunFolder, info: RunInfo) -> None:
        self.to_metrics: Connection | None = None
        self.to_prometheus: Connection | None = None
        self._path: Path = folder.path / "stack" / "state.json"
        self._model = model_under_test(info)
        self._stamp: tuple[int, int] | None = None
        self._targets = ScrapeTargets()

    def current(self) -> ScrapeTargets:
        """The addresses of the latest state; while it is unreadable, those of the state before."""
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp != self._stamp:
                text = self._path.read_bytes()
                self._stamp = stamp
                self._targets = self._read(_State.model_validate_json(text))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:  # also an address that is not a URL
            reason = error_sentence("the state", error) if isinstance(error, ValidationError) else error
            _log.warning("cannot read %s: %s", self._path, clean(reason))
        return self._targets

    def _read(self, state: _State) -> ScrapeTargets:
        up = state.phase in ("starting", "ready")
        ready = {r.name for r in state.replicas if up and r.phase in ("ready", "serving")}
        replicas = tuple(
            Replica(
                name=r.name,
                metrics=metrics_url(r.metrics),
                ready=r.name in ready,
                ports=tuple(port for port in (_port_here(r.http), _port_here(r.grpc)) if port is not None),
            )
            for r in state.replicas
            if r.metrics
        )
        return ScrapeTargets(
            prometheus=state.prometheus,
            custom_metrics=state.custom_metrics,
            use=NodeUse(
                nodes_url=state.node_use,
                replicas_url=state.replica_use,
                nodes={node.name: node for node in state.nodes},
                node_of={r.name: r.node for r in state.replicas if r.node is not None},
            ),
            model=self._model or state.model,
            replicas=replicas,
            names=tuple(r.name for r in state.replicas),
            serving=bool(ready),
        )


class UrlTargets:
    """The addresses in the settings of an existing server; its model may become known later.

    Args:
        folder: The run folder.
        info: Its `run.json`.
        connection: How to connect to the server.

    Attributes:
        to_metrics: How to connect to the metrics address of the server.
        to_prometheus: How to connect to Prometheus, which gets credentials only on the host of the server.

    Raises:
        SettingsError: the environment names a proxy that cannot be used.
    """

    def __init__(self, folder: RunFolder, info: RunInfo, connection: Connection = DIRECT) -> None:
        self._folder, self._model = folder, model_under_test(info)
        self._prometheus = _address(info, "prometheus_url")
        self._metrics = _address(info, "metrics_url")
        prometheus, target = self._prometheus or "", info.target
        same_host = urlsplit(prometheus).hostname == urlsplit(target).hostname
        self.to_metrics: Connection | None = connection_to(self._metrics or "", connection)
        self.to_prometheus: Connection | None = connection_to(prometheus, connection, credentials=same_host)

    @property
    def is_empty(self) -> bool:
        """Whether the settings have no address."""
        return not (self._prometheus or self._metrics)

    def current(self) -> ScrapeTargets:
        """The addresses, with the model once `run.json` names it."""
        if self._metrics and not self._model:
            with contextlib.suppress(DatasetError):
                self._model = model_under_test(self._folder.read_info())
        replicas: tuple[Replica, ...] = ()
        if self._metrics:
            name = urlsplit(self._metrics).netloc
            replicas = (Replica(name=name, metrics=metrics_url(self._metrics), ready=self._model is not None),)
        names = tuple(replica.name for replica in replicas)
        return ScrapeTargets(
            prometheus=self._prometheus, model=self._model, replicas=replicas, names=names, serving=True
        )


def model_under_test(info: RunInfo) -> str | None:
    """The model under test; None while `run.json` does not name it."""
    return info.model or _text(info, "model")


def metrics_url(address: str) -> str:
    """Add `/metrics` to `host:port` or a URL without a path; a URL with a path stays as it is."""
    url = address if "://" in address else f"http://{address}"
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/metrics"


def _address(info: RunInfo, field: str) -> str | None:
    text = _text(info, field)
    return text.rstrip("/") if text else None


def _text(info: RunInfo, field: str) -> str | None:
    value = info.settings.get(field)
    return value if isinstance(value, str) and value else None


def _port_here(address: str | None) -> int | None:
    """The port of an address (`host:port`) of this machine's loopback; None for another."""
    try:
        parts = urlsplit(f"//{address}" if address else "")
        return parts.port if parts.hostname and ip_address(parts.hostname).is_loopback else None
    except ValueError:
        return None
