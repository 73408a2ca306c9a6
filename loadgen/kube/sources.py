"""Where the signals of a workload on a cluster are read: directly where possible, else through the API server."""

import re
import secrets
from typing import Any
from urllib.parse import urlencode

import requests

from loadgen.dataset import Autoscaler, RunFolder
from loadgen.errors import StackError, TargetError
from loadgen.kube import autoscaler, endpoint, prometheus, rights, rollout
from loadgen.kube.api import path_of
from loadgen.kube.attach import Attached
from loadgen.kube.children import port_of, start_child
from loadgen.kube.prometheus import PrometheusService, RuleTiming
from loadgen.kube.relay import RelayConfig
from loadgen.processes import Child

_TIMEOUT_S = 2.0
_CUSTOM = "custom.metrics.k8s.io"
_BLIND = "the signal that the autoscaler reads is not seen"


class Sources:
    """Finds the sources of one run; what it does not find is a sentence in `attached.lacking`.

    Args:
        folder: The run's.
        attached: Whose signals.

    Attributes:
        relay: The process that reads with the credentials of the kubeconfig.

    Raises:
        StackError: the relay does not start, or the API server does not answer.
        TargetError: there are several Prometheus servers.
    """

    def __init__(self, folder: RunFolder, attached: Attached) -> None:
        self._attached, self._api = attached, attached.api
        self._namespace, self._port = attached.workload.namespace, attached.workload.metrics
        self._pods = path_of("api", "v1", "namespaces", self._namespace, "pods")
        self._service = self._find_prometheus()
        secret, file = secrets.token_urlsafe(16), folder.path / "stack" / "relay.port"
        config = RelayConfig(
            context=attached.kube.context, secret=secret, paths=self._relayed(), port_file=file.resolve()
        )
        self.relay: Child = start_child(folder, "relay", config)
        try:
            self._base = f"http://127.0.0.1:{port_of(self.relay, file)}/{secret}"
            self.prometheus = self._prometheus_url()
        except BaseException:
            self.relay.stop(0.0)
            raise

    def _relayed(self) -> list[str]:
        """What the relay passes on: no more than is read here."""
        space = re.escape(self._namespace)
        paths = [
            rf"/apis/{re.escape(_CUSTOM)}/[a-z0-9]+/namespaces/{space}/pods/\*/[\w:.-]+",
            rf"{re.escape(self._pods)}/[a-z0-9.-]+:{self._port}/proxy/metrics",
        ]
        if self._service is not None:
            paths.append(re.escape(_proxied(self._service)) + r"/api/v1/\w+(/\w+)*")
        return paths

    def _find_prometheus(self) -> PrometheusService | None:
        wanted = self._attached.kube.prometheus
        if wanted and "://" in wanted:
            return None
        try:
            services = self._api.items("/api/v1/services")
        except StackError:
            services = []
            if not wanted:
                self._lacks(f"needs list on services in the whole cluster, or --kube-prometheus: without it, {_BLIND}")
        if wanted:
            return prometheus.named(wanted, services)
        found = prometheus.choose(services)
        if found is None and services:
            self._lacks(f"no Prometheus was found on the cluster: without --kube-prometheus {_BLIND}")
        return found

    def _prometheus_url(self) -> str | None:
        """Where Prometheus answers; the first that does."""
        service = self._service
        if service is None:
            url = self._attached.kube.prometheus
            if url is not None and (reason := _why_not(url)) is not None:
                raise TargetError(f"--kube-prometheus {url} is none that can be asked from here: {reason}")
            return url
        hosts = [f"{service.name}.{service.namespace}.svc", service.cluster_ip]
        direct = [f"{host}:{service.port}" for host in hosts if host]
        urls = [f"http://{address}" for address in direct if endpoint.reachable(address)]
        why: str | None = None
        for url in [*urls, f"{self._base}{_proxied(service)}"]:
            if (why := _why_not(url)) is None:
                return url
        self._lacks(
            f"Prometheus {service} does not answer from here ({why}); through the API server it needs get on "
            f"services/proxy in namespace {service.namespace}: without it, {_BLIND}"
        )
        return None

    def metrics_page(self) -> str | None:
        """URL of a pod's /metrics, with `{ip}` and `{pod}` to be filled in; None where it cannot be read."""
        pods = self._api.items(self._pods, labelSelector=self._attached.workload.selector)
        ips = [each["status"]["podIP"] for each in pods if rollout.phase(each) == "ready"]
        if any(_is_metrics_page(f"{ip}:{self._port}") for ip in ips[:3]):
            return f"http://{{ip}}:{self._port}/metrics"
        right = rights.Right(verbs=("get",), resource="pods/proxy", lost="Triton's raw counters are not read")
        missing, sentences = rights.check(self._api, self._namespace, [right])
        self._attached.lacking.extend(sentences)
        return None if missing else f"{self._base}{self._pods}/{{pod}}:{self._port}/proxy/metrics"

    def custom_metrics(self, metric: str) -> str | None:
        """URL at which the custom-metrics API has a metric of all pods; None where it may not be read, or is not."""
        if any(right.group == _CUSTOM for right in self._attached.missing):
            return None
        group = self._api.get(path_of("apis", _CUSTOM))
        if group is None:
            self._lacks(f"this cluster has no API {_CUSTOM}: what the autoscaler itself reads is not recorded")
            return None
        version = group["preferredVersion"]["groupVersion"]
        query = urlencode({"labelSelector": self._attached.workload.selector})  # as the controller asks
        return f"{self._base}/apis/{version}/namespaces/{self._namespace}/pods/*/{metric}?{query}"

    def autoscaler(self) -> Autoscaler | None:
        """What the HPA is told to do, with the timing of the signal as Prometheus has it."""
        hpa = self._attached.hpa
        if hpa is None:
            return None
        metric = autoscaler.metric_of(hpa)
        timing, interval_s = RuleTiming(None, None), None
        if metric is not None:
            groups = self._told("/api/v1/rules", type="record").get("groups", [])
            timing = prometheus.rule_timing(groups, metric["metric"]["name"], self._namespace)
            pods = self._api.items(self._pods, labelSelector=self._attached.workload.selector)
            targets = self._told("/api/v1/targets", state="active").get("activeTargets", [])
            names = [each["metadata"]["name"] for each in pods]
            interval_s = prometheus.scrape_interval_s(targets, self._namespace, names)
        found, assumed = autoscaler.autoscaler_of(hpa, timing, interval_s)
        self._attached.assumed.extend(assumed)
        return found

    def versions(self) -> dict[str, str]:
        """Versions of Kubernetes and Prometheus."""
        version = self._api.get("/version") or {}
        found = {"kubernetes": str(version.get("gitVersion", "unknown")).removeprefix("v")}
        if self.prometheus is not None:
            found["prometheus"] = str(self._told("/api/v1/status/buildinfo").get("version", "unknown"))
        return found

    def _told(self, path: str, **parameters: str) -> dict[str, Any]:
        """What Prometheus says of itself; nothing where it is one of those that only know queries."""
        if self.prometheus is None:
            return {}
        try:
            found: dict[str, Any] = prometheus.query(self.prometheus, path, **parameters)
        except StackError:
            return {}
        return found

    def _lacks(self, sentence: str) -> None:
        self._attached.lacking.append(sentence)


def _proxied(service: PrometheusService) -> str:
    return path_of("api", "v1", "namespaces", service.namespace, "services", f"{service.name}:{service.port}", "proxy")


def _why_not(url: str) -> str | None:
    """Why a URL is no Prometheus; None where it is one."""
    try:
        prometheus.query(url, "/api/v1/query", query="time()")
    except StackError as error:
        return str(error)
    return None


def _is_metrics_page(address: str) -> bool:
    """Whether Triton's metrics are there: some proxies accept a connection to any address."""
    if not endpoint.reachable(address):
        return False
    try:
        page = requests.get(f"http://{address}/metrics", timeout=_TIMEOUT_S)
    except requests.RequestException:
        return False
    return page.ok and "\nnv_" in page.text
