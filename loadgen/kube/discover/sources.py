"""Connects to the sources of a workload's signals: directly where possible, otherwise through the API server."""

import re
from typing import Any
from urllib.parse import quote, urlencode

import requests

from loadgen.base.errors import StackError, TargetError
from loadgen.base.processes import Child
from loadgen.base.urls import new_secret
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import SIGNAL_NOT_OBSERVED, Autoscaler
from loadgen.kube.client import permissions
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.client.prometheus_auth import PrometheusAuth
from loadgen.kube.discover import autoscaler, keda, metrics_api, prometheus
from loadgen.kube.discover.access_paths import address
from loadgen.kube.discover.autoscaler import ScalingMetric
from loadgen.kube.discover.endpoint import reachable
from loadgen.kube.discover.metrics_api import MetricsUrls
from loadgen.kube.discover.prometheus import PrometheusService
from loadgen.kube.discover.result import Discovered
from loadgen.kube.discover.workload import ScaledWorkload
from loadgen.kube.objects.pod_startup import READY, startup_stage
from loadgen.kube.objects.shapes import checked
from loadgen.kube.proxy.process import read_port, start_process
from loadgen.kube.proxy.relay import RelayConfig
from loadgen.scenario.fleets import Kube

_TIMEOUT_S = 2.0
_CUSTOM = "custom.metrics.k8s.io"
_PROBED_PODS = 3


class Sources:
    """The sources of one workload's signals.

    Args:
        folder: Run folder.
        api: The cluster.
        kube: Settings of Prometheus and its authentication.
        scaled: Workload and HPA.

    Attributes:
        relay: Process that reads with the credentials of the kubeconfig, and with those for Prometheus.
        metric: Metric that the run judges; None where the HPA has none that can be judged.
        prometheus: Base URL of Prometheus; None where it cannot be read.

    Raises:
        StackError: the relay does not start, or the API server does not answer.
        TargetError: there are several Prometheus servers, or the one in the settings cannot be queried.
    """

    def __init__(self, folder: RunFolder, api: Api, kube: Kube, scaled: ScaledWorkload) -> None:
        self._api, self._hpa, self._workload = api, scaled.hpa, scaled.workload
        self._pods = path_of("api", "v1", "namespaces", self._workload.namespace, "pods")
        self.metric = _scaling_metric(api, scaled)
        auth = _prometheus_auth(kube)
        service = prometheus.discover_prometheus(api, kube.prometheus)
        direct = _direct_urls(service.value, kube.prometheus)
        secret, file = new_secret(), folder.path / "stack" / "relay.port"
        config = RelayConfig(
            context=api.context,
            secret=secret,
            paths=self._relayed_paths(),
            prometheus_path=rf"{re.escape(_proxied(service.value))}/api/v1/\w+(/\w+)*" if service.value else None,
            prometheus_urls=direct if auth.configured else [],
            auth=auth,
            port_file=file.resolve(),
        )
        self.relay: Child = start_process(folder, "proxy.relay", config)
        try:
            self._base = f"http://127.0.0.1:{read_port(self.relay, file)}/{secret}"
            if auth.configured:
                direct = [f"{self._base}/direct/{number}" for number in range(len(direct))]
            self.prometheus = self._prometheus_url(service, kube.prometheus, direct)
        except BaseException:
            self.relay.stop(0.0)
            raise

    def _relayed_paths(self) -> list[str]:
        """Patterns of the paths that the relay forwards: only those that a run reads."""
        namespace = re.escape(self._workload.namespace)
        return [
            rf"/apis/{re.escape(_CUSTOM)}/[a-z0-9]+/namespaces/{namespace}/pods/\*/([\w:.-]|%7C)+",
            rf"{re.escape(self._pods)}/[a-z0-9.-]+:{self._workload.metrics}/proxy/metrics",
            *metrics_api.relayed_paths(self._workload),
        ]

    def _prometheus_url(
        self, service: Discovered[PrometheusService | None], requested: str | None, direct: list[str]
    ) -> Discovered[str | None]:
        """The first URL at which Prometheus answers."""
        if service.value is None:
            for url in direct:
                if (reason := _query_error(url)) is not None:
                    raise TargetError(f"--kube-prometheus {requested} cannot be queried from here: {reason}")
            return Discovered(next(iter(direct), None), service.missing, service.assumptions)
        reason = None
        for url in [*direct, f"{self._base}{_proxied(service.value)}"]:
            if (reason := _query_error(url)) is None:
                return Discovered(url)
        sentence = (
            f"Prometheus {service.value} does not answer from here ({reason}); through the API server it needs get on "
            f"services/proxy in namespace {service.value.namespace}: without it, {SIGNAL_NOT_OBSERVED}"
        )
        return Discovered(None, missing=(sentence,))

    def pod_metrics(self) -> Discovered[str | None]:
        """URL of a pod's /metrics with the placeholders `{ip}` and `{pod}`; None where it cannot be read."""
        port = self._workload.metrics
        pods = self._api.items(self._pods, labelSelector=self._workload.selector)
        ips = [each["status"]["podIP"] for each in pods if startup_stage(each) == READY and "podIP" in each["status"]]
        if any(_is_metrics_page(address(ip, port)) for ip in ips[:_PROBED_PODS]):
            return Discovered(f"http://{{ip}}:{port}/metrics")
        permission = permissions.Permission(
            verbs=("get",), resource="pods/proxy", consequence="Triton's raw counters are not read"
        )
        missing, sentences = permissions.check(self._api, self._workload.namespace, [permission])
        url = None if missing else f"{self._base}{self._pods}/{{pod}}:{port}/proxy/metrics"
        return Discovered(url, missing=tuple(sentences))

    def custom_metrics(self) -> Discovered[str | None]:
        """URL of the metric of all pods in the custom-metrics API.

        None where the HPA does not read it there, and where that API is not installed or not permitted.
        """
        metric = self.metric.value
        if metric is None or metric.matchers is not None:
            return Discovered(None)
        namespace = self._workload.namespace
        missing, sentences = permissions.check(self._api, namespace, [permissions.for_custom_metric(metric.name)])
        if missing:
            return Discovered(None, missing=tuple(sentences))
        group = self._api.get(path_of("apis", _CUSTOM))
        if group is None:
            sentence = f"this cluster has no API {_CUSTOM}: the value that the autoscaler reads is not recorded"
            return Discovered(None, missing=(sentence,))
        version = checked("api group", group)["preferredVersion"]["groupVersion"]
        query = urlencode({"labelSelector": self._workload.selector})  # as the controller does
        name = quote(metric.name, safe=":")
        return Discovered(f"{self._base}/apis/{version}/namespaces/{namespace}/pods/*/{name}?{query}")

    def metrics_api(self) -> Discovered[MetricsUrls]:
        """URLs of the use of CPU and memory by nodes and replicas, as far as they may be read."""
        return metrics_api.discover_metrics_api(self._api, self._workload, self._base)

    def autoscaler(self) -> Discovered[Autoscaler | None]:
        """Settings of the HPA, with the timing of its metric as Prometheus has it."""
        hpa, metric, namespace = self._hpa, self.metric.value, self._workload.namespace
        if hpa is None or metric is None:
            return Discovered(None)
        if metric.matchers is not None:
            series = self._query("/api/v1/query", query=f"{metric.series}{metric.matchers}").get("result", [])
            reason = keda.not_per_pod(metric, prometheus.labels_of(series), namespace)
            if reason is not None:
                return Discovered(None, assumptions=(keda.no_trigger_metric(hpa, [reason]),))
        groups = self._query("/api/v1/rules", type="record").get("groups", [])
        timing = prometheus.rule_timing(groups, metric.series, namespace)
        pods = self._api.items(self._pods, labelSelector=self._workload.selector)
        targets = self._query("/api/v1/targets", state="active").get("activeTargets", [])
        names = [each["metadata"]["name"] for each in pods]
        interval_s = prometheus.scrape_interval_s(targets, namespace, names)
        return autoscaler.autoscaler_of(hpa, metric, timing, interval_s)

    def versions(self) -> dict[str, str]:
        """Versions of Kubernetes and Prometheus."""
        version = checked("version", self._api.get("/version") or {})
        versions = {"kubernetes": str(version.get("gitVersion", "unknown")).removeprefix("v")}
        if self.prometheus.value is not None:
            versions["prometheus"] = str(self._query("/api/v1/status/buildinfo").get("version", "unknown"))
        return versions

    def _query(self, path: str, **parameters: str) -> dict[str, Any]:
        """Data of a response of Prometheus; empty where it serves queries only, as some compatible servers do."""
        if self.prometheus.value is None:
            return {}
        try:
            data = prometheus.query(self.prometheus.value, path, **parameters)
        except StackError:
            return {}
        return data if isinstance(data, dict) else {}


def _scaling_metric(api: Api, scaled: ScaledWorkload) -> Discovered[ScalingMetric | None]:
    """The metric that a run judges, from the HPA or from the ScaledObject for which KEDA created the HPA."""
    hpa, namespace = scaled.hpa, scaled.workload.namespace
    if hpa is None:
        return Discovered(None)
    name = keda.scaled_object(hpa)
    if name is None:
        metric = autoscaler.primary_metric(autoscaler.pods_metrics(hpa))
        return Discovered(metric, assumptions=() if metric else (autoscaler.no_pods_metric(hpa),))
    missing, sentences = permissions.check(api, namespace, [keda.PERMISSION])
    if missing:
        return Discovered(None, missing=tuple(sentences))
    scaled_object = api.get(path_of("apis", keda.GROUP, keda.VERSION, "namespaces", namespace, keda.PLURAL, name))
    if scaled_object is None:
        return Discovered(None, assumptions=(keda.no_trigger_metric(hpa, [f"there is no ScaledObject {name}"]),))
    scaled_object = checked("scaledobjects", scaled_object)
    metrics, others = keda.trigger_metrics(hpa, scaled_object)
    metric = keda.judged_metric(metrics, scaled_object)
    not_judged = [] if metric else [keda.no_trigger_metric(hpa, others)]
    return Discovered(metric, assumptions=(*not_judged, *keda.other_scaling(scaled_object)))


def _prometheus_auth(kube: Kube) -> PrometheusAuth:
    """Credentials for Prometheus, checked to be complete.

    Raises:
        TargetError: a token or a header is missing.
    """
    auth = PrometheusAuth(token_file=kube.prometheus_token_file, ca_file=kube.prometheus_ca_file)
    try:
        auth.headers()
    except StackError as error:
        raise TargetError(str(error)) from error
    return auth


def _direct_urls(service: PrometheusService | None, requested: str | None) -> list[str]:
    """URLs at which Prometheus may answer without the API server."""
    if service is None:
        return [requested.rstrip("/")] if requested else []
    hosts = [f"{service.name}.{service.namespace}.svc", service.cluster_ip]
    addresses = [address(host, service.port) for host in hosts if host]
    scheme = "https" if service.tls else "http"
    return [f"{scheme}://{each}" for each in addresses if reachable(each)]


def _proxied(service: PrometheusService) -> str:
    name = f"{'https:' if service.tls else ''}{service.name}:{service.port}"
    return path_of("api", "v1", "namespaces", service.namespace, "services", name, "proxy")


def _query_error(url: str) -> str | None:
    """Reason why a URL does not answer as Prometheus; None where it does."""
    try:
        prometheus.query(url, "/api/v1/query", query="time()")
    except StackError as error:
        return str(error)
    return None


def _is_metrics_page(address: str) -> bool:
    """Whether Triton's metrics are served there: some proxies accept a connection to any address."""
    if not reachable(address):
        return False
    try:
        with requests.Session() as session:
            session.trust_env = False  # the collector reads it directly, too
            page = session.get(f"http://{address}/metrics", timeout=_TIMEOUT_S)
    except requests.RequestException:
        return False
    return page.ok and "\nnv_" in page.text
