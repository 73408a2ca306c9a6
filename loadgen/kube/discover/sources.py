"""Where the signals of a workload on a cluster are read: directly where possible, else through the API server."""

import re
from typing import Any
from urllib.parse import quote, urlencode

import requests

from loadgen.base.errors import StackError, TargetError
from loadgen.base.processes import Child
from loadgen.base.urls import new_secret
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler
from loadgen.kube.client import permissions as rights
from loadgen.kube.client.api import path_of
from loadgen.kube.client.prometheus_auth import PrometheusAuth
from loadgen.kube.discover import autoscaler, endpoint, keda, prometheus
from loadgen.kube.discover.attach import Attached
from loadgen.kube.discover.autoscaler import Held
from loadgen.kube.discover.prometheus import PrometheusService
from loadgen.kube.objects.pod_startup import startup_stage
from loadgen.kube.proxy.process import read_port, start_process
from loadgen.kube.proxy.relay import RelayConfig
from loadgen.scenario.settings import Kube

_TIMEOUT_S = 2.0
_CUSTOM = "custom.metrics.k8s.io"
_BLIND = "the signal that the autoscaler reads is not seen"


class Sources:
    """Finds the sources of one run; what it does not find is a sentence in `attached.lacking`.

    Args:
        folder: The run's.
        attached: Whose signals.

    Attributes:
        relay: The process that reads with the credentials of the kubeconfig, and with those of Prometheus.
        held: The series by which the autoscaler is judged; None where there is none.

    Raises:
        StackError: the relay does not start, or the API server does not answer.
        TargetError: there are several Prometheus servers, or the one that was given cannot be asked.
    """

    def __init__(self, folder: RunFolder, attached: Attached) -> None:
        self._attached, self._api = attached, attached.api
        self._namespace, self._port = attached.workload.namespace, attached.workload.metrics
        self._pods = path_of("api", "v1", "namespaces", self._namespace, "pods")
        self.held = self._held()
        kube = attached.kube
        access = _access(kube)
        self._service = self._find_prometheus()
        direct = self._direct()
        secret, file = new_secret(), folder.path / "stack" / "relay.port"
        config = RelayConfig(
            context=kube.context,
            secret=secret,
            paths=self._relayed(),
            prometheus_path=rf"{re.escape(_proxied(self._service))}/api/v1/\w+(/\w+)*" if self._service else None,
            prometheus_urls=direct if access.configured else [],
            auth=access,
            port_file=file.resolve(),
        )
        self.relay: Child = start_process(folder, "proxy.relay", config)
        try:
            self._base = f"http://127.0.0.1:{read_port(self.relay, file)}/{secret}"
            if access.configured:
                direct = [f"{self._base}/direct/{number}" for number in range(len(direct))]
            self.prometheus = self._prometheus_url(direct)
        except BaseException:
            self.relay.stop(0.0)
            raise

    def _relayed(self) -> list[str]:
        """What the relay passes on: no more than is read here."""
        space = re.escape(self._namespace)
        return [
            rf"/apis/{re.escape(_CUSTOM)}/[a-z0-9]+/namespaces/{space}/pods/\*/([\w:.-]|%7C)+",
            rf"{re.escape(self._pods)}/[a-z0-9.-]+:{self._port}/proxy/metrics",
        ]

    def _held(self) -> Held | None:
        hpa = self._attached.hpa
        if hpa is None:
            return None
        name = keda.scaled_object(hpa)
        if name is None:
            held, why = autoscaler.by_pods(hpa), autoscaler.unjudged(hpa)
        else:
            missing, sentences = rights.check(self._api, self._namespace, [keda.RIGHT])
            if missing:
                self._attached.lacking.extend(sentences)
                return None
            path = path_of("apis", keda.GROUP, keda.VERSION, "namespaces", self._namespace, keda.PLURAL, name)
            scaled = self._api.get(path)
            held, others = keda.by_triggers(hpa, scaled or {"spec": {}})
            why = keda.unjudged(hpa, others if scaled else [f"there is no ScaledObject {name}"])
        if not held:
            self._attached.assumed.append(why)
        return autoscaler.followed(held)

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

    def _direct(self) -> list[str]:
        """URLs at which Prometheus may answer without the API server."""
        service, given = self._service, self._attached.kube.prometheus
        if service is None:
            return [given.rstrip("/")] if given else []
        hosts = [f"{service.name}.{service.namespace}.svc", service.cluster_ip]
        addresses = [endpoint.address(host, service.port) for host in hosts if host]
        scheme = "https" if service.tls else "http"
        return [f"{scheme}://{address}" for address in addresses if endpoint.reachable(address)]

    def _prometheus_url(self, direct: list[str]) -> str | None:
        """Where Prometheus answers; the first that does."""
        service = self._service
        if service is None:
            for url in direct:
                if (reason := _why_not(url)) is not None:
                    given = self._attached.kube.prometheus
                    raise TargetError(f"--kube-prometheus {given} is none that can be asked from here: {reason}")
            return next(iter(direct), None)
        why: str | None = None
        for url in [*direct, f"{self._base}{_proxied(service)}"]:
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
        ips = [each["status"]["podIP"] for each in pods if startup_stage(each) == "ready"]
        if any(_is_metrics_page(endpoint.address(ip, self._port)) for ip in ips[:3]):
            return f"http://{{ip}}:{self._port}/metrics"
        right = rights.Permission(
            verbs=("get",), resource="pods/proxy", consequence="Triton's raw counters are not read"
        )
        missing, sentences = rights.check(self._api, self._namespace, [right])
        self._attached.lacking.extend(sentences)
        return None if missing else f"{self._base}{self._pods}/{{pod}}:{self._port}/proxy/metrics"

    def custom_metrics(self) -> str | None:
        """URL at which the custom-metrics API has what is held of all pods.

        None where the autoscaler does not read it there, or where it may not be read, or is not.
        """
        if self.held is None or self.held.labels is not None:
            return None
        missing, sentences = rights.check(self._api, self._namespace, [rights.for_custom_metric(self.held.named)])
        if missing:
            self._attached.lacking.extend(sentences)
            return None
        group = self._api.get(path_of("apis", _CUSTOM))
        if group is None:
            self._lacks(f"this cluster has no API {_CUSTOM}: what the autoscaler itself reads is not recorded")
            return None
        version = group["preferredVersion"]["groupVersion"]
        query = urlencode({"labelSelector": self._attached.workload.selector})  # as the controller asks
        metric = quote(self.held.named, safe=":")
        return f"{self._base}/apis/{version}/namespaces/{self._namespace}/pods/*/{metric}?{query}"

    def autoscaler(self) -> Autoscaler | None:
        """What the HPA is told to do, with the timing of the signal as Prometheus has it."""
        hpa, held = self._attached.hpa, self.held
        if hpa is None or held is None:
            return None
        if held.labels is not None:
            asked = self._told("/api/v1/query", query=f"{held.record}{held.labels}").get("result", [])
            why = keda.not_of_pods(held, [each["metric"] for each in asked], self._namespace)
            if why is not None:
                self._attached.assumed.append(keda.unjudged(hpa, [why]))
                return None
        groups = self._told("/api/v1/rules", type="record").get("groups", [])
        timing = prometheus.rule_timing(groups, held.record, self._namespace)
        pods = self._api.items(self._pods, labelSelector=self._attached.workload.selector)
        targets = self._told("/api/v1/targets", state="active").get("activeTargets", [])
        names = [each["metadata"]["name"] for each in pods]
        interval_s = prometheus.scrape_interval_s(targets, self._namespace, names)
        found, assumed = autoscaler.autoscaler_of(hpa, held, timing, interval_s)
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


def _access(kube: Kube) -> PrometheusAuth:
    """How Prometheus is asked, with everything there that it needs.

    Raises:
        TargetError: a token or a header is not there.
    """
    access = PrometheusAuth(token_file=kube.prometheus_token_file, ca_file=kube.prometheus_ca_file)
    try:
        access.headers()
    except StackError as error:
        raise TargetError(str(error)) from error
    return access


def _proxied(service: PrometheusService) -> str:
    name = f"{'https:' if service.tls else ''}{service.name}:{service.port}"
    return path_of("api", "v1", "namespaces", service.namespace, "services", name, "proxy")


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
