"""Where to read from, now: by `stack/state.json` of a stack or cluster, or by the addresses in the settings."""

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from loadgen.base.errors import DatasetError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A serving pod: `metrics` is the URL of its own /metrics; data is due from it while it is `ready`."""

    name: str
    metrics: str
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What can be read at one moment.

    Attributes:
        prometheus: Base URL; None while there is none.
        custom_metrics: URL at which a cluster says what its autoscaler reads; None without one.
        model: The model driven, whose counters are read; None while it is not known.
        replicas: Those whose pages can be read.
        names: All there are.
        serving: Whether a replica serves, so that Prometheus must have samples.
    """

    prometheus: str | None = None
    custom_metrics: str | None = None
    model: str | None = None
    replicas: tuple[Replica, ...] = ()
    names: tuple[str, ...] = ()
    serving: bool = False


class _Replica(BaseModel):
    name: str
    phase: str
    metrics: str | None = None


class _State(BaseModel):
    phase: str = "starting"
    prometheus: str | None = None
    custom_metrics: str | None = None
    model: str | None = None
    replicas: list[_Replica] = []


class StackTargets:
    """Follows `stack/state.json`, which the local stack or the observer of a cluster replaces whole at every change."""

    def __init__(self, folder: RunFolder, info: RunInfo) -> None:
        self._path: Path = folder.path / "stack" / "state.json"
        self._driven = driven(info)
        self._stamp: tuple[int, int] | None = None
        self._targets = Targets()

    def current(self) -> Targets:
        """The state last written; what cannot be read leaves the one before."""
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp != self._stamp:
                text = self._path.read_bytes()
                self._stamp = stamp
                self._targets = self._read(_State.model_validate_json(text))
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            _log.warning("cannot read %s: %s", self._path, str(error).splitlines()[0])
        return self._targets

    def _read(self, state: _State) -> Targets:
        up = state.phase in ("starting", "ready")
        ready = {r.name for r in state.replicas if up and r.phase in ("ready", "serving")}
        replicas = tuple(
            Replica(name=r.name, metrics=metrics_url(r.metrics), ready=r.name in ready)
            for r in state.replicas
            if r.metrics
        )
        return Targets(
            prometheus=state.prometheus,
            custom_metrics=state.custom_metrics,
            model=self._driven or state.model,
            replicas=replicas,
            names=tuple(r.name for r in state.replicas),
            serving=bool(ready),
        )


class UrlTargets:
    """The addresses that the settings name for an existing server; the model may become known only later."""

    def __init__(self, folder: RunFolder, info: RunInfo) -> None:
        self._folder, self._model = folder, driven(info)
        self._prometheus = _address(info, "prometheus_url")
        self._metrics = _address(info, "metrics_url")

    def nothing(self) -> bool:
        """Whether no address at all is known."""
        return not (self._prometheus or self._metrics)

    def current(self) -> Targets:
        """The addresses, with the model as soon as `run.json` names it."""
        if self._metrics and not self._model:
            with contextlib.suppress(DatasetError):
                self._model = driven(self._folder.read_info())
        replicas: tuple[Replica, ...] = ()
        if self._metrics:
            name = urlsplit(self._metrics).netloc
            replicas = (Replica(name=name, metrics=metrics_url(self._metrics), ready=self._model is not None),)
        names = tuple(replica.name for replica in replicas)
        return Targets(prometheus=self._prometheus, model=self._model, replicas=replicas, names=names, serving=True)


def driven(info: RunInfo) -> str | None:
    """The model that the load drives, as far as `run.json` knows it."""
    return info.model or _text(info, "model")


def metrics_url(address: str) -> str:
    """`host:port` or a URL without path as the URL of its /metrics; a URL with a path stays."""
    url = address if "://" in address else f"http://{address}"
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/metrics"


def _address(info: RunInfo, field: str) -> str | None:
    text = _text(info, field)
    return text.rstrip("/") if text else None


def _text(info: RunInfo, field: str) -> str | None:
    value = info.settings.get(field)
    return value if isinstance(value, str) and value else None
