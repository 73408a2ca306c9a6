"""Defines the settings of a fleet whose replicas are observed: the local stack, or a workload on a cluster."""

import re
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from loadgen.base.checked import Settings
from loadgen.base.proposals import meant
from loadgen.base.urls import Url, parse_url

EndpointKind = Literal["auto", "ingress", "service", "nodeport", "forward"]


class Local(Settings):
    """The embedded stack (`--target local`): emulated engine, fleet and autoscaler.

    Attributes:
        profile: Name of an engine profile in `loadgen/local/engine/profiles`, or the path of a profile.
        replicas: Minimum and maximum number of replicas.
        ratio_target: Target of the queue-to-compute ratio (Pods metric, AverageValue).
        startup_delay_s: Emulated image pull and engine load of a new replica, before the server starts.
        sync_period_s: Sync period of the autoscaler, as of the HPA controller.
        rate_window_s: Window of `rate()` in the recording rule of the ratio.
        scrape_interval_s: Scrape and rule interval of Prometheus.
        scale_down_window_s: Scale-down stabilization window; 300 s by default in Kubernetes.
        grace_s: Termination grace period of a replica.
    """

    profile: str = "demo"
    replicas: tuple[PositiveInt, PositiveInt] = (1, 4)
    ratio_target: PositiveFloat = 0.2
    startup_delay_s: NonNegativeFloat = 10.0
    sync_period_s: PositiveFloat = 15.0
    rate_window_s: PositiveFloat = 10.0
    scrape_interval_s: PositiveFloat = 1.0
    scale_down_window_s: NonNegativeFloat = 60.0
    grace_s: PositiveFloat = 30.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.replicas
        if high < low:
            raise ValueError(f"replicas: the maximum ({high}) is below the minimum ({low}): swap them")
        if self.rate_window_s < 4 * self.scrape_interval_s:
            raise ValueError(
                f"rate_window_s {self.rate_window_s:g} is shorter than 4 scrapes of {self.scrape_interval_s:g} s: "
                f"increase it to at least {4 * self.scrape_interval_s:g}"
            )
        return self


class Kube(Settings):
    """A workload on a cluster (`--target kube`), reached by the kubeconfig or, in a pod, by its service account.

    Objects whose name is None are discovered by their labels and must be unambiguous.

    Attributes:
        context: Context of the kubeconfig, or `in-cluster`; None means the current context.
        namespace: Namespace of the workload; None means that of the context, then all other namespaces.
        workload: Name of the Deployment or LeaderWorkerSet.
        hpa: Name of its autoscaler.
        service: Name of its Service.
        endpoint: How requests reach it: `ingress` (balances requests), `service` and `nodeport` (balance connections),
            `forward` (one pod, through the API server), a URL, or `auto`: the first of these that is reachable.
        prometheus: URL of Prometheus, or `namespace/service:port`, read directly or through the API server.
        prometheus_token_file: File with a bearer token for Prometheus; read again for every query, and never recorded.
        prometheus_ca_file: File with the CA certificates for Prometheus.
        deploy: Values file of the bundled chart, which is installed or upgraded before the run and kept after it.
        patience_s: How long a pod may be blocked (no node, no image, crashes) before the run gives up. A pod that loads
            its model, or that a node is being added for, is not blocked.
    """

    context: str | None = None
    namespace: str | None = None
    workload: str | None = None
    hpa: str | None = None
    service: str | None = None
    endpoint: str = "auto"
    prometheus: str | None = None
    prometheus_token_file: Path | None = None
    prometheus_ca_file: Path | None = None
    deploy: Path | None = None
    patience_s: PositiveFloat = 600.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = get_args(EndpointKind)
        if self.endpoint not in kinds:
            if "://" not in self.endpoint:
                raise ValueError(
                    f"kube endpoint {self.endpoint!r} is invalid{meant(self.endpoint, kinds)}: set it to "
                    f"{', '.join(kinds)}, or a URL"
                )
            parsed_url("kube endpoint", self.endpoint, ("http", "https", "grpc", "grpcs"), "grpc://triton.example:80")
        if self.prometheus is not None and not re.fullmatch(_SERVICE, self.prometheus):
            example = "http://prometheus.example:9090, or monitoring/prometheus-operated:9090"
            parsed_url("kube prometheus", self.prometheus, ("http", "https"), example, path=True)
        return self


_SERVICE = r"[a-z0-9-]+/[a-z0-9.-]+:\d+"


def parsed_url(
    setting: str, url: str, schemes: tuple[str, ...], example: str, *, path: bool = False, api: str = ""
) -> Url:
    """Parse a URL of a setting.

    Args:
        setting: Name of the setting, for the message.
        url: The URL.
        schemes: Schemes that it may have.
        example: A URL that would do, for the message.
        path: Whether it may have a path.
        api: Path of the API, which a path may end with.

    Raises:
        ValueError: it is not such a URL.
    """
    try:
        return parse_url(url, schemes=schemes, example=example, path=path, api=api)
    except ValueError as error:
        raise ValueError(f"{setting} {error}") from None
