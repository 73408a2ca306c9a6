"""The finding about nodes that were short of a resource while replicas were on them."""

from loadgen.analyze.findings import codes
from loadgen.analyze.nodes import evidence
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding, Nodes, Window

_MOST = 5
_ADVICE = {
    "neighbour": "Keep other pods off these nodes (taints, or requests that leave no room for them), and run again.",
    "replicas": "Give the replicas larger nodes, or fewer replicas to each node (requests of CPU and memory).",
}
_UNKNOWN = "Find what uses the resource (kubectl describe node, kubectl top pods), and run again without it."


def nodes_under_pressure(run: Observed, found: Nodes | None) -> list[Finding]:
    """A warning with the seconds of the load in which at least one node was under pressure; none otherwise."""
    pressed = [each for each in found.nodes if each.pressure] if found else []
    if not pressed or run.info.load_start_s is None:
        return []
    spans = sorted((span.start_s, span.end_s) for node in pressed for span in node.pressure)
    total_s, reached = 0.0, 0.0
    for start, end in spans:
        total_s += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    named = "; ".join(evidence(each) for each in pressed[:_MOST])
    more = f"; and {len(pressed) - _MOST} more" if len(pressed) > _MOST else ""
    text = f"{named}{more}. A node under pressure slows its pods, or evicts them. "
    return [
        codes.NODE_PRESSURE.finding(
            measured=total_s,
            limit=0.0,
            window=Window(spans[0][0], max(end for _, end in spans)),
            advice=f"{text[0].upper()}{text[1:]}{_ADVICE.get(pressed[0].verdict, _UNKNOWN)}",
        )
    ]
