"""Discovers the Prometheus of a cluster, and reads its clock, scrape intervals and recording rules."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, ValidationError

from loadgen.base.errors import StackError, TargetError
from loadgen.base.proxies import is_loopback
from loadgen.base.text import clean
from loadgen.base.urls import redacted
from loadgen.dataset.run_info import SIGNAL_NOT_OBSERVED
from loadgen.kube.client.api import Api, Skew
from loadgen.kube.client.prometheus_auth import failure_reason
from loadgen.kube.discover.result import Discovered
from loadgen.kube.objects.raw import Raw

_TIMEOUT_S = 5.0
_HTTPS = 443
_PORTS = (9090, 80, _HTTPS)
_SKEW_QUERIES = 5
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


class PrometheusService(NamedTuple):
    """A Service in front of Prometheus; `tls` when its port is one for HTTPS."""

    namespace: str
    name: str
    port: int
    cluster_ip: str | None
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}"


def discover_prometheus(api: Api, requested: str | None) -> Discovered[PrometheusService | None]:
    """The Service of Prometheus; None where there is none, and for a URL, which needs no Service.

    Args:
        api: The cluster.
        requested: `namespace/service:port` or a URL from the settings; None to discover it.

    Raises:
        TargetError: there are several candidates.
    """
    if requested and "://" in requested:
        return Discovered(None)
    try:
        services = api.items("/api/v1/services")
    except StackError:
        if requested:
            return Discovered(named_service(requested, []))
        sentence = (
            f"missing RBAC permissions: list on services cluster-wide, or --kube-prometheus ({SIGNAL_NOT_OBSERVED})"
        )
        return Discovered(None, missing=(sentence,))
    if requested:
        return Discovered(named_service(requested, services))
    service = choose_prometheus(services)
    if service is None and services:
        sentence = f"no Prometheus was found on the cluster: without --kube-prometheus {SIGNAL_NOT_OBSERVED}"
        return Discovered(None, missing=(sentence,))
    return Discovered(service)


def named_service(text: str, services: Sequence[Raw]) -> PrometheusService:
    """The Service that `namespace/name:port` names; without an address where Services may not be listed."""
    path, _, port = text.rpartition(":")
    namespace, _, name = path.partition("/")
    raw = next(
        (each for each in services if (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, name)),
        None,
    )
    if raw is None:
        return PrometheusService(namespace, name, int(port), None, int(port) == _HTTPS)
    return _service(raw, int(port))


def choose_prometheus(services: Sequence[Raw]) -> PrometheusService | None:
    """The only Prometheus among the Services of a cluster; None without one.

    The Service that the Prometheus operator creates is preferred over labels and names that charts use.

    Raises:
        TargetError: there are several.
    """
    operated = [each for each in services if _labels(each).get("operated-prometheus") == "true"]
    by_label = [
        each
        for each in services
        if _labels(each).get("app.kubernetes.io/name", _labels(each).get("app")) == "prometheus"
        or each["metadata"]["name"] in ("prometheus", "prometheus-server", "prometheus-k8s")
    ]
    for group in (operated, by_label):
        usable = [_service(each, port) for each in group if (port := _port(each)) is not None]
        if len(usable) > 1:
            raise TargetError(
                f"{len(usable)} Prometheus servers on this cluster: {', '.join(map(str, usable))}; choose the one that "
                "scrapes the workload with --kube-prometheus NAMESPACE/SERVICE:PORT"
            )
        if usable:
            return usable[0]
    return None


def query(url: str, path: str, **parameters: str) -> Any:
    """The `data` of a response of Prometheus' HTTP API.

    Raises:
        StackError: Prometheus does not answer, or refuses the query.
    """
    try:
        with requests.Session() as session:
            session.trust_env = not is_loopback(urlsplit(url).hostname or "")
            response = session.get(f"{url}{path}", params=parameters, timeout=_TIMEOUT_S)
    except (requests.RequestException, ValueError) as error:
        raise StackError(f"Prometheus does not answer {path}: {failure_reason(error)}") from error
    try:
        body = response.json()
    except (ValueError, RecursionError):
        first = next(iter(response.text.strip().splitlines()), "nothing")[:200]
        raise StackError(f"Prometheus answers {path} with status {response.status_code}: {redacted(first)}") from None
    if not isinstance(body, dict) or body.get("status") != "success" or "data" not in body:
        raise StackError(f"Prometheus refused {path} ({response.status_code}): {clean(body)}")
    return body["data"]


def skew(url: str) -> Skew:
    """How far the clock of Prometheus is ahead of this machine's, by the fastest of several queries.

    Raises:
        StackError: Prometheus does not answer.
    """
    skews = []
    for _ in range(_SKEW_QUERIES):
        sent_s = time.time()
        prometheus_s = server_time_s(query(url, "/api/v1/query", query="time()"))
        received_s = time.time()
        skews.append(Skew(prometheus_s - (sent_s + received_s) / 2, (received_s - sent_s) / 2))
    return min(skews, key=lambda each: each.error_s)


def server_time_s(answer: Any) -> float:
    """The time of Prometheus in the answer to the query `time()` (Unix, s).

    Raises:
        StackError: it has none.
    """
    try:
        at_s = float(answer["result"][1])
    except (LookupError, TypeError, ValueError, OverflowError):
        at_s = math.nan
    if not math.isfinite(at_s):
        raise StackError(f"Prometheus does not answer the query time() with a number: {clean(answer)}")
    return at_s


class RuleTiming(NamedTuple):
    """Window of a recording rule's `rate()`, and its evaluation interval; None where unknown."""

    window_s: float | None
    interval_s: float | None


class _Rule(BaseModel):
    name: str = ""
    query: str = ""


class _RuleGroup(BaseModel):
    interval: float = 0.0
    rules: list[_Rule] = []


class _ScrapeTarget(BaseModel):
    labels: dict[str, str] = {}
    scrapeInterval: str = ""


_Part = TypeVar("_Part", bound=BaseModel)


def _valid(part: type[_Part], answer: Any) -> list[_Part]:
    """Return the parts of an answer that can be read."""
    parts = []
    for each in answer if isinstance(answer, list | tuple) else ():
        try:
            parts.append(part.model_validate(each))
        except ValidationError:
            continue
    return parts


class _Series(BaseModel):
    metric: dict[str, str] = {}


def labels_of(series: Any) -> list[Mapping[str, str]]:
    """The labels of each series in the `result` of a query."""
    return [each.metric for each in _valid(_Series, series)]


def rule_timing(groups: Any, metric: str, namespace: str) -> RuleTiming:
    """Timing of the rule that records a metric; a rule whose query selects the namespace is preferred.

    Args:
        groups: `groups` of `/api/v1/rules?type=record`.
        metric: Name of the recorded series.
        namespace: Namespace of the workload.
    """
    rules = [(group, rule) for group in _valid(_RuleGroup, groups) for rule in group.rules if rule.name == metric]
    rules.sort(key=lambda pair: f'"{namespace}"' not in pair[1].query and f'"{namespace}/' not in pair[1].query)
    if not rules:
        return RuleTiming(None, None)
    group, rule = rules[0]
    windows = [_seconds(each) for each in re.findall(r"\[([0-9a-z]+)(?::[0-9a-z]*)?\]", rule.query)]
    return RuleTiming(_plausible(max(windows, default=0.0)), _plausible(group.interval))


def scrape_interval_s(targets: Any, namespace: str, pods: Sequence[str]) -> float | None:
    """How often Prometheus scrapes the pods of the workload; None where it does not.

    Args:
        targets: `activeTargets` of `/api/v1/targets`.
        namespace: Namespace of the workload.
        pods: Names of its pods.
    """
    intervals = [
        interval_s
        for each in _valid(_ScrapeTarget, targets)
        if each.labels.get("namespace") == namespace
        and each.labels.get("pod") in pods
        and (interval_s := _plausible(_seconds(each.scrapeInterval))) is not None
    ]
    return min(intervals, default=None)


def _plausible(duration_s: float) -> float | None:
    """A duration between nothing and a year; None for any other."""
    return duration_s if 0 < duration_s <= _UNITS_S["y"] else None


def _seconds(text: str) -> float:
    """A duration of Prometheus, such as `1m30s`, in seconds."""
    return math.fsum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def _labels(service: Raw) -> Mapping[str, str]:
    labels: Mapping[str, str] = service["metadata"].get("labels") or {}
    return labels


def _port(service: Raw) -> int | None:
    ports = [int(each["port"]) for each in service["spec"].get("ports", [])]
    return next((port for port in _PORTS if port in ports), None)


def _service(raw: Raw, port: int) -> PrometheusService:
    names = {str(each.get("name", "")) for each in raw["spec"].get("ports", []) if int(each["port"]) == port}
    tls = port == _HTTPS or any(name == "https" or name.startswith("https-") for name in names)
    return PrometheusService(raw["metadata"]["namespace"], raw["metadata"]["name"], port, _address(raw), tls)


def _address(service: Raw) -> str | None:
    ip = service["spec"].get("clusterIP")
    return ip if ip and ip != "None" else None
