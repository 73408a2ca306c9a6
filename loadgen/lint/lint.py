"""Runs all rules over the objects of an input."""

from dataclasses import replace
from typing import Any, NamedTuple

from loadgen.base.errors import SettingsError
from loadgen.base.text import clean
from loadgen.lint.chart_values import CHART_VALUES
from loadgen.lint.objects import CHART, Object, Objects
from loadgen.lint.pitfall import Pitfall
from loadgen.lint.rules import autoscaler, keda, metric, pods, probes, prometheus, query, traffic
from loadgen.lint.setup import Setup, setup_of

_RULES = (query, prometheus, metric, autoscaler, keda, probes, pods, traffic)


class Findings(NamedTuple):
    """The pitfalls of an input, errors first, and the objects that rules are about, such as `Deployment llm`."""

    pitfalls: list[Pitfall]
    checked: list[str]


def lint(objects: Objects) -> Findings:
    """Find the pitfalls of an input.

    Raises:
        SettingsError: the input has nothing that a rule reads.
    """
    setup = setup_of(objects)
    checked = _checked(setup)
    if not checked:
        kinds = ", ".join(sorted({each.kind for each in objects.known} | objects.ignored)) or "none"
        raise SettingsError(
            "there is nothing to check: no workload that looks like Triton (an image with tritonserver, or ports 8001 "
            "and 8002), no autoscaler, recording rule of Triton's series, rule of prometheus-adapter or monitor; the "
            f"kinds of the objects are: {clean(kinds, 300)}"
        )
    found = dict.fromkeys(_completed(each) for rule in _RULES for each in rule.check(setup))
    return Findings(sorted(found, key=lambda each: each.severity != "error"), checked)


def _completed(found: Pitfall) -> Pitfall:
    chart_value = CHART_VALUES.get(found.declared.code, "") if found.source == CHART else ""
    return replace(found, chart_value=chart_value)


def _checked(setup: Setup) -> list[str]:
    named: list[Object[Any]] = [each.object for each in setup.servers]
    named += [each.object for each in setup.autoscalers]
    named += [each.object for each in setup.rules]
    named += [each.object for each in setup.adapter]
    named += [each.object for each in setup.prometheus if each.jobs]
    if not setup.objects.live:
        named += list(setup.objects.of("PodMonitor", "ServiceMonitor"))
    return list(dict.fromkeys(clean(f"{each.kind} {each.name}") for each in named))
