"""The command line: our flags beside Locust's own, and what they change in a scenario."""

from typing import Any

from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.load.adapters.users import TritonUser
from loadgen.scenario.settings import TOKEN_LIMITS, Kube, Scenario, Slo

_KUBE = {
    "context": "context of the kubeconfig (the current one)",
    "namespace": "namespace of the workload (that of the context)",
    "workload": "Deployment or LeaderWorkerSet (found by its labels)",
    "hpa": "its autoscaler (found)",
    "service": "its Service (found)",
    "endpoint": "auto, ingress, service, nodeport, forward, or a URL: how requests reach it",
    "prometheus": "URL, or NAMESPACE/SERVICE:PORT (found)",
    "prometheus_token_file": "file with a bearer token for Prometheus",
    "prometheus_ca_file": "file with the certificates of who signed that of Prometheus",
    "deploy": "file of values: install or upgrade the bundled chart with them before the run",
}
"""Fields of the settings `kube` that the command line may set, and what they are."""


def add_flags(parser: LocustArgumentParser) -> None:
    """Our flags beside Locust's own."""
    group = parser.add_argument_group("Triton load test")
    group.add_argument(
        "--target",
        default=None,
        env_var="LOADGEN_TARGET",
        help="'local' (embedded stack), 'sandbox' (a real Kubernetes control plane on this machine), 'kube' (a "
        "cluster), or the URL of a Triton: http://host:8000, grpc://host:8001",
    )
    group.add_argument("--protocol", choices=["grpc", "http"], default=None, help="protocol to speak")
    group.add_argument("--stream", dest="stream", action="store_const", const=True, default=None, help="stream tokens")
    group.add_argument(
        "--no-stream", dest="stream", action="store_const", const=False, help="wait for the whole answer"
    )
    group.add_argument("--model", default=None, help="model to drive, when several fit")
    kube = parser.add_argument_group("Cluster (--target kube)")
    for name, about in _KUBE.items():
        env_var = f"LOADGEN_KUBE_{name.upper()}"
        kube.add_argument(f"--kube-{name.replace('_', '-')}", default=None, env_var=env_var, help=about)


def scenario_of(user_classes: list[type[Any]]) -> Scenario:
    """The one scenario of the user classes that Locust was given.

    Raises:
        SettingsError: no class has one, or they have different ones.
    """
    scenarios = {cls.__name__: getattr(cls, "scenario", None) for cls in user_classes if issubclass(cls, TritonUser)}
    if not scenarios:
        raise SettingsError("the locustfile has no TritonUser: write `class MyUser(TritonUser): scenario = …`")
    for name, scenario in scenarios.items():
        if not isinstance(scenario, Scenario):
            raise SettingsError(f"{name}.scenario is {scenario!r}: set it to a Scenario(…)")
    first, *others = scenarios.values()
    if any(other != first for other in others):
        raise SettingsError(
            f"a run has one scenario: name one user class on the command line, {' or '.join(scenarios)}"
        )
    assert isinstance(first, Scenario)
    return first


def with_flags(scenario: Scenario, environment: Environment) -> Scenario:
    """The scenario with the command line's words; Locust's own `--host` and a class's `host` name a target too.

    Raises:
        SettingsError: the words contradict the scenario or one another.
    """
    options = environment.parsed_options
    assert options is not None
    changes: dict[str, Any] = {}
    if target := options.target or _host(environment):
        changes["target"] = target
    for flag in ("protocol", "stream", "model"):
        if (value := getattr(options, flag)) not in (None, ""):
            changes[flag] = value
    kube = {name: value for name in _KUBE if (value := getattr(options, f"kube_{name}", None))}
    if kube:
        changes["kube"] = Kube(**{**dict(scenario.kube), **kube})
    timed = {name: None for name, limit in scenario.slo if name in TOKEN_LIMITS and limit is not None}
    if changes.get("stream") is False and timed:
        changes["slo"] = Slo(**{**dict(scenario.slo), **timed})
    return scenario.replace(**changes) if changes else scenario


def _host(environment: Environment) -> str | None:
    """The host that Locust was given, or that the user classes have; None where it is the one that says nothing."""
    classes = [cls for cls in environment.user_classes if issubclass(cls, TritonUser)]
    said = {environment.host} if environment.host else {cls.host for cls in classes}
    hosts = sorted(host for host in said if host and host != TritonUser.host)
    if len(hosts) > 1:
        raise SettingsError(f"a run has one target: the user classes have hosts {' and '.join(hosts)}; set --host")
    return hosts[0] if hosts else None
