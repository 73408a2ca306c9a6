"""Prometheus of a cluster: which one it is, and what it says of clocks, scrapes and rules."""

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import requests

from loadgen.base.errors import StackError, TargetError
from loadgen.base.urls import redacted
from loadgen.kube.client.api import Skew
from loadgen.kube.client.prometheus_auth import failure_reason
from loadgen.kube.objects.raw import Raw

_TIMEOUT_S = 5.0
_HTTPS = 443
_PORTS = (9090, 80, _HTTPS)
_ASKED = 5
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


class PrometheusService(NamedTuple):
    """A Service that leads to Prometheus; `tls` where it speaks HTTPS, as far as its port says."""

    namespace: str
    name: str
    port: int
    cluster_ip: str | None
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}"


def named(text: str, services: Sequence[Raw]) -> PrometheusService:
    """The Service that `namespace/name:port` means; its address is None where Services may not be read."""
    place, _, port = text.rpartition(":")
    namespace, _, name = place.partition("/")
    raw = next(
        (each for each in services if (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, name)),
        None,
    )
    if raw is None:
        return PrometheusService(namespace, name, int(port), None, int(port) == _HTTPS)
    return _service(raw, int(port))


def choose(services: Sequence[Raw]) -> PrometheusService | None:
    """The one Prometheus of a cluster by its Services; None where there is none.

    The operator's own Service of each Prometheus comes first, then what the labels or names of charts say.

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
    for found in (operated, by_label):
        usable = [_service(each, port) for each in found if (port := _port(each)) is not None]
        if len(usable) > 1:
            raise TargetError(
                f"{len(usable)} Prometheus servers on this cluster: {', '.join(map(str, usable))}; choose the one that "
                "scrapes the workload with --kube-prometheus NAMESPACE/SERVICE:PORT"
            )
        if usable:
            return usable[0]
    return None


def query(url: str, path: str, **parameters: str) -> Any:
    """The `data` of an answer of Prometheus' HTTP API.

    Raises:
        StackError: it does not answer, or says no.
    """
    try:
        with requests.Session() as session:
            session.trust_env = "127.0.0.1" not in url
            answer = session.get(f"{url}{path}", params=parameters, timeout=_TIMEOUT_S)
    except (requests.RequestException, ValueError) as error:
        raise StackError(f"Prometheus does not answer {path}: {failure_reason(error)}") from error
    try:
        said = answer.json()
    except ValueError:
        first = next(iter(answer.text.strip().splitlines()), "nothing")[:200]
        raise StackError(f"Prometheus answers {path} with status {answer.status_code}: {redacted(first)}") from None
    if not isinstance(said, dict) or said.get("status") != "success":
        raise StackError(f"Prometheus refused {path} ({answer.status_code}): {str(said)[:200]}")
    return said["data"]


def skew(url: str) -> Skew:
    """By how much the clock of Prometheus is ahead of ours, by the quickest of some answers.

    Raises:
        StackError: it does not answer.
    """
    found = []
    for _ in range(_ASKED):
        asked = time.time()
        shown = float(query(url, "/api/v1/query", query="time()")["result"][1])
        heard = time.time()
        found.append(Skew(shown - (asked + heard) / 2, (heard - asked) / 2))
    return min(found, key=lambda each: each.error_s)


class RuleTiming(NamedTuple):
    """Of a recording rule: window of its `rate()` and interval of its evaluation; None where it does not say."""

    window_s: float | None
    interval_s: float | None


def rule_timing(groups: Iterable[Mapping[str, Any]], metric: str, namespace: str) -> RuleTiming:
    """Timing of the rule that records a metric; of several, of the one that speaks of the namespace.

    Args:
        groups: `groups` of `/api/v1/rules?type=record`.
        metric: Name that is recorded.
        namespace: Namespace of the workload.
    """
    found = [(group, rule) for group in groups for rule in group.get("rules", []) if rule.get("name") == metric]
    found.sort(key=lambda pair: f'"{namespace}"' not in pair[1]["query"] and f'"{namespace}/' not in pair[1]["query"])
    if not found:
        return RuleTiming(None, None)
    group, rule = found[0]
    windows = [_seconds(each) for each in re.findall(r"\[([0-9a-z]+)(?::[0-9a-z]*)?\]", rule["query"])]
    interval = group.get("interval")
    return RuleTiming(max(windows) if windows else None, float(interval) if interval else None)


def scrape_interval_s(targets: Iterable[Mapping[str, Any]], namespace: str, pods: Sequence[str]) -> float | None:
    """How often Prometheus scrapes the pods of the workload; None when it does not.

    Args:
        targets: `activeTargets` of `/api/v1/targets`.
        namespace: Namespace of the workload.
        pods: Names of its pods.
    """
    intervals = [
        _seconds(each["scrapeInterval"])
        for each in targets
        if each.get("labels", {}).get("namespace") == namespace
        and each["labels"].get("pod") in pods
        and each.get("scrapeInterval")
    ]
    return min(intervals) if intervals else None


def _seconds(text: str) -> float:
    """A duration of Prometheus, such as `1m30s`, in seconds."""
    return math.fsum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def _labels(service: Raw) -> Mapping[str, str]:
    found: Mapping[str, str] = service["metadata"].get("labels") or {}
    return found


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
