"""Settings that a simulation can change, by the names that `--set` and `--sweep` take."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from loadgen.autoscale.spec import Behavior, HpaSpec, Policy, ScalingRules
from loadgen.base.errors import SettingsError
from loadgen.base.proposals import listed, meant
from loadgen.whatif.metrics import Metrics, Signal, with_target
from loadgen.whatif.model import MetricPath, Replicas

_RATIO = Metrics()
_SHORTEST_S = 0.1
"""Shortest interval between two scrapes or syncs: an hour of them is simulated in seconds."""
_HIGHEST_MILLI = 10**12
_MOST_REPLICAS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that a simulation takes as given, besides the load.

    Attributes:
        replicas: How replicas start and serve.
        path: How the metrics get to the HPA.
        hpa: The HPA.
        metrics: What its metrics measure.
    """

    replicas: Replicas
    path: MetricPath
    hpa: HpaSpec
    metrics: Metrics = _RATIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The span of a run that is simulated: replicas that are ready at its beginning, and its ends in seconds."""

    initial: int
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that can be changed: what it means, and how a text changes a setup."""

    meaning: str
    change: Callable[[Setup, str], Setup]


def with_settings(setup: Setup, assignments: Sequence[str]) -> Setup:
    """Return the setup with settings changed, each given as `name=value`, in any order.

    Raises:
        SettingsError: a name does not exist or is given twice, a value is wrong, or Kubernetes would reject the HPA.
    """
    left = [split(each) for each in assignments]
    for name, count in Counter(name for name, _ in left).items():
        if count > 1:
            raise SettingsError(f"{name} is given {'twice' if count == 2 else f'{count} times'}: give it once")
    while left:
        # one change may need another one first, such as a higher minimum a higher maximum
        refused: list[tuple[str, str]] = []
        errors: list[str] = []
        for name, value in left:
            try:
                setup = SETTINGS[name].change(setup, value)
            except SettingsError as error:
                refused.append((name, value))
                errors.append(f"{name}={value}: {error}")
        if len(refused) == len(left):
            raise SettingsError(errors[0])
        left = refused
    return setup


def split(assignment: str) -> tuple[str, str]:
    """Split `name=value`.

    Raises:
        SettingsError: it is not of that form, or the name does not exist.
    """
    name, separator, value = (part.strip() for part in assignment.partition("="))
    if not separator or not value:
        raise SettingsError(f"{assignment!r} is not a setting: write name=value, such as hpa.target=0.2")
    if name not in SETTINGS:
        raise SettingsError(f"there is no setting {name}{meant(name, SETTINGS)}; the settings are {listed(SETTINGS)}")
    return name, value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError("use a number")
    return value


def _integer(text: str) -> int:
    value = _number(text)
    if not value.is_integer():
        raise SettingsError("use a whole number")
    return int(value)


def _seconds(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise SettingsError("use more than 0 seconds")
    if value < _SHORTEST_S:
        raise SettingsError(f"use at least {_SHORTEST_S:g} seconds")
    return value


def _target(signal: Signal) -> Callable[[Setup, str], Setup]:
    def apply(setup: Setup, text: str) -> Setup:
        milli = None if text == "none" else round(_number(text) * 1000)
        if milli is not None and milli < 1:
            raise SettingsError("use at least 0.001, one milli, or none")
        if milli is not None and milli > _HIGHEST_MILLI:
            raise SettingsError(f"use at most {_HIGHEST_MILLI // 1000:,}")
        hpa, metrics = with_target(setup.hpa, setup.metrics, signal, milli)
        return replace(setup, hpa=hpa, metrics=metrics)

    return apply


def _least(setup: Setup, text: str) -> Setup:
    return replace(setup, hpa=replace(setup.hpa, min_replicas=_integer(text)))


def _most(setup: Setup, text: str) -> Setup:
    count = _integer(text)
    if count > _MOST_REPLICAS:
        raise SettingsError(f"a simulation has at most {_MOST_REPLICAS:,} replicas")
    return replace(setup, hpa=replace(setup.hpa, max_replicas=count))


def _rules(direction: str, change: Callable[[ScalingRules, str], ScalingRules]) -> Callable[[Setup, str], Setup]:
    def apply(setup: Setup, text: str) -> Setup:
        behavior = setup.hpa.behavior or Behavior()
        rules = change(getattr(behavior, direction), text)
        return replace(setup, hpa=replace(setup.hpa, behavior=replace(behavior, **{direction: rules})))

    return apply


def _window(rules: ScalingRules, text: str) -> ScalingRules:
    return replace(rules, stabilization_window_s=_integer(text))


def _tolerance(rules: ScalingRules, text: str) -> ScalingRules:
    return replace(rules, tolerance_ratio=_number(text))


def _policies(rules: ScalingRules, text: str) -> ScalingRules:
    """Policies as `4 pods/15s + 100 %/15s`."""
    policies = []
    for part in text.split("+"):
        amount, slash, period = part.replace(" ", "").partition("/")
        unit = "%" if amount.endswith("%") else "pods"
        if not slash or not period.endswith("s") or not amount.endswith(unit):
            raise SettingsError("write policies as `4pods/15s` or `100%/15s`, joined by `+`")
        count, seconds = _integer(amount.removesuffix(unit)), _integer(period.removesuffix("s"))
        policies.append(Policy(type="Percent" if unit == "%" else "Pods", value=count, period_s=seconds))
    return replace(rules, policies=tuple(policies))


def _path(field: str) -> Callable[[Setup, str], Setup]:
    return lambda setup, text: replace(setup, path=replace(setup.path, **{field: _seconds(text)}))


def _scrape(setup: Setup, text: str) -> Setup:
    """The rules are evaluated at the same share of the interval after a scrape."""
    interval_s, path = _seconds(text), setup.path
    after_s = path.rule_after_s * interval_s / path.scrape_s
    return replace(setup, path=replace(path, scrape_s=interval_s, rule_after_s=after_s))


def _start_up(setup: Setup, text: str) -> Setup:
    """That of as many replicas as start together at most; its parts, and the times of fewer, keep their shares."""
    wanted_s, replicas = _number(text), setup.replicas
    if wanted_s < 0:
        raise SettingsError("use 0 seconds or more")
    if not replicas.start_up_s:
        return replace(setup, replicas=replace(replicas, loads_s=(wanted_s,)))
    share = wanted_s / replicas.start_up_s
    loads_s = tuple(share * each_s for each_s in replicas.loads_s)
    return replace(setup, replicas=replace(replicas, pending_s=share * replicas.pending_s, loads_s=loads_s))


SETTINGS: dict[str, Setting] = {
    "hpa.target": Setting("target of the queue-to-compute ratio, or none", _target("ratio")),
    "hpa.busy_target": Setting("target of the share of slots in use, or none", _target("busy")),
    "hpa.waiting_target": Setting("target of the waiting requests per replica, or none", _target("waiting")),
    "hpa.min_replicas": Setting("fewest replicas", _least),
    "hpa.max_replicas": Setting("most replicas", _most),
    "hpa.tolerance_up": Setting("tolerance of scale-ups, a ratio", _rules("scale_up", _tolerance)),
    "hpa.tolerance_down": Setting("tolerance of scale-downs, a ratio", _rules("scale_down", _tolerance)),
    "hpa.scale_up_window_s": Setting("stabilization window of scale-ups", _rules("scale_up", _window)),
    "hpa.scale_down_window_s": Setting("stabilization window of scale-downs", _rules("scale_down", _window)),
    "hpa.scale_up_policies": Setting("such as 4pods/15s + 100%/15s", _rules("scale_up", _policies)),
    "hpa.scale_down_policies": Setting("such as 1pods/60s", _rules("scale_down", _policies)),
    "hpa.sync_period_s": Setting("sync period of the HPA controller", _path("sync_s")),
    "prometheus.scrape_interval_s": Setting("scrape interval", _scrape),
    "prometheus.window_s": Setting("window of the recording rule", _path("window_s")),
    "replicas.start_up_s": Setting("from the creation of a pod until it is ready", _start_up),
}
