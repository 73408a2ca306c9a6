"""The pods and containers that rendered objects make, and the releases whose pods must obey the rules of a cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

from support.charts.cases import CASES
from support.charts.helm import TRITON, Objects
from support.charts.leaves import ENGINE, merged

BY_POD = merged(ENGINE, {"engine": {"build": {"by": "pod"}}})
GROUP_OF_ENGINES = merged(ENGINE, {"parallelism": {"tensor": 16}, "multiNode": {"enabled": True}})
RELEASES = {
    **{f"{chart} {name}": (chart, values) for chart, cases in CASES.items() for name, values in cases.items()},
    "an engine built by the pod": (TRITON, BY_POD),
    "a group of engines": (TRITON, GROUP_OF_ENGINES),
}
"""Chart and values by name: every case, and the ways of building an engine that no case has."""


def pods(found: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod that the objects make, as its kind and its template."""
    for (kind, _), each in found.items():
        spec = each.get("spec") or {}
        group = spec.get("leaderWorkerTemplate") or {}
        nightly = spec.get("jobTemplate", {}).get("spec", {})
        if kind == "Pod":
            yield kind, each
        for template in (spec.get("template"), nightly.get("template"), *group.values()):
            if isinstance(template, Mapping) and "spec" in template:
                yield ("Job" if nightly else kind), dict(template)


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The init containers of a pod and its others."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
