"""Adds the flags of the plugin to Locust's own, and applies them to the scenario."""

from typing import Any, get_args

from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.base.proposals import meant, near
from loadgen.load.adapters.users import TritonUser
from loadgen.protocols.endpoint import ClientName
from loadgen.run.connection_flags import add_connection_flags
from loadgen.scenario.fleets import Kube
from loadgen.scenario.settings import TOKEN_LIMITS, OpenAiCall, ReportFormat, Scenario, Slo, WireProtocol

REPORT_FORMATS: tuple[str, ...] = get_args(ReportFormat)

_KUBE = {
    "context": "context of the kubeconfig (default: the current one)",
    "namespace": "namespace of the workload (default: that of the context)",
    "workload": "Deployment or LeaderWorkerSet (default: discovered by its labels)",
    "hpa": "its HPA (default: the one that scales it)",
    "service": "its Service (default: the one that selects its pods)",
    "endpoint": "auto, ingress, service, nodeport, forward, or a URL: how requests reach it",
    "prometheus": "URL, or NAMESPACE/SERVICE:PORT (default: the only one on the cluster)",
    "prometheus_token_file": "file with a bearer token for Prometheus",
    "prometheus_ca_file": "file with the CA certificates for Prometheus",
    "deploy": "values file: install or upgrade the bundled chart with it before the run",
    "patience_s": "seconds that a pod may be blocked before the run gives up (default: 600)",
}
"""Fields of the settings `kube` that have a flag, and their help."""


def add_flags(parser: LocustArgumentParser) -> None:
    """Add the flags of the plugin."""
    group = parser.add_argument_group("Triton load test")
    group.add_argument(
        "--target",
        default=None,
        env_var="LOADGEN_TARGET",
        help="'local' (embedded stack), 'sandbox' (a real Kubernetes control plane on this machine), 'kube' (a "
        "cluster), or the URL of a Triton: http://host:8000, grpc://host:8001",
    )
    group.add_argument(
        "--protocol",
        choices=get_args(WireProtocol),
        default=None,
        help="wire protocol of the requests: Triton's over gRPC or HTTP, or OpenAI's API",
    )
    group.add_argument(
        "--openai-call",
        choices=get_args(OpenAiCall),
        default=None,
        help="with --protocol openai: send requests to /v1/chat/completions (chat) or /v1/completions",
    )
    group.add_argument("--stream", dest="stream", action="store_const", const=True, default=None, help="stream tokens")
    group.add_argument(
        "--no-stream", dest="stream", action="store_const", const=False, help="wait for the whole response"
    )
    group.add_argument(
        "--client",
        choices=get_args(ClientName),
        default="built-in",
        help="client that sends the requests: the built-in one, or tritonclient (gRPC) and geventhttpclient (HTTP), "
        "which are meant for comparison and send fewer requests per second",
    )
    group.add_argument("--model", default=None, help="model to send requests to, when several are suitable")
    group.add_argument(
        "--reports",
        default=None,
        env_var="LOADGEN_REPORTS",
        metavar="NAMES",
        help=f"comma-separated reports to write: {', '.join(REPORT_FORMATS)} (all)",
    )
    group.add_argument(
        "--repeats",
        default=None,
        env_var="LOADGEN_REPEATS",
        metavar="N",
        help="run the load N times, each at another phase of the autoscaler, and judge the runs together (1)",
    )
    add_connection_flags(parser)
    kube = parser.add_argument_group("Cluster (--target kube)")
    for name, about in _KUBE.items():
        env_var = f"LOADGEN_KUBE_{name.upper()}"
        kind = float if name == "patience_s" else str
        kube.add_argument(f"--kube-{name.replace('_', '-')}", default=None, type=kind, env_var=env_var, help=about)


def scenario_of(user_classes: list[type[Any]]) -> Scenario:
    """The scenario that all user classes of this run share.

    Raises:
        SettingsError: no class has one, or they have different ones.
    """
    classes = {cls.__name__: cls for cls in user_classes if issubclass(cls, TritonUser)}
    scenarios = {name: getattr(cls, "scenario", None) for name, cls in classes.items()}
    if not scenarios:
        raise SettingsError("the locustfile has no TritonUser: write `class MyUser(TritonUser): scenario = …`")
    for name, scenario in scenarios.items():
        if not isinstance(scenario, Scenario):
            raise SettingsError(_no_scenario(name, scenario, classes[name]))
    first, *others = scenarios.values()
    if any(other != first for other in others):
        raise SettingsError(
            f"a run has one scenario: name one user class on the command line, {' or '.join(scenarios)}"
        )
    assert isinstance(first, Scenario)
    return first


def _no_scenario(name: str, value: object, cls: type[Any]) -> str:
    if value is not None:
        return f"{name}.scenario is {value!r}: set it to a Scenario(…)"
    own = [attribute for attribute, each in vars(cls).items() if isinstance(each, Scenario)]
    meant = f" (did you mean it with {name}.{own[0]}?)" if near("scenario", own) else ""
    return f"{name} has no scenario{meant}: write `scenario = Scenario(…)` in the class"


def with_flags(scenario: Scenario, environment: Environment) -> Scenario:
    """The scenario with the flags applied; Locust's own `--host` and the `host` of a class also name a target.

    Raises:
        SettingsError: a flag contradicts the scenario or another flag.
    """
    options = environment.parsed_options
    assert options is not None
    if getattr(options, "enable_rebalancing", False):
        raise SettingsError(
            "--enable-rebalancing moves users between workers during the load and cuts their requests: omit it; a "
            "run uses the workers that are connected when it starts"
        )
    changes: dict[str, Any] = {}
    if target := options.target or _host(environment):
        changes["target"] = target
    for flag in ("protocol", "openai_call", "stream", "model"):
        if (value := getattr(options, flag, None)) not in (None, ""):
            changes[flag] = value
    if reports := getattr(options, "reports", None):
        changes["reports"] = _report_formats(reports)
    kube = {name: value for name in _KUBE if (value := getattr(options, f"kube_{name}", None)) not in (None, "")}
    if kube:
        changes["kube"] = Kube(**{**dict(scenario.kube), **kube})
    ignored = {name: None for name, limit in scenario.slo if name in TOKEN_LIMITS and limit is not None}
    if changes.get("stream") is False and ignored:
        changes["slo"] = Slo(**{**dict(scenario.slo), **ignored})
    # with the protocol openai also to check the target, which the scenario could leave to a flag
    changed = scenario.replace(**changes) if changes or scenario.wire == "openai" else scenario
    if changed.wire == "openai" and getattr(options, "client", None) == "reference":
        raise SettingsError("--client reference has no client of OpenAI's API: omit it")
    return changed


def _report_formats(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in REPORT_FORMATS:
            raise SettingsError(
                f"--reports: there is no report {name!r}{meant(name, REPORT_FORMATS)}; choose from "
                f"{', '.join(REPORT_FORMATS)}"
            )
    return names


def _host(environment: Environment) -> str | None:
    """The host from `--host`, or else from the user classes; None where it is the default of `TritonUser`."""
    classes = [cls for cls in environment.user_classes if issubclass(cls, TritonUser)]
    candidates = {environment.host} if environment.host else {cls.host for cls in classes}
    hosts = sorted(host for host in candidates if host and host != TritonUser.host)
    if len(hosts) > 1:
        raise SettingsError(f"a run has one target: the user classes have hosts {' and '.join(hosts)}; set --host")
    return hosts[0] if hosts else None
