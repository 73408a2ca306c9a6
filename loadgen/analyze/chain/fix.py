"""Names the one link to fix first: the one that costs most of those that can be changed."""

from collections.abc import Sequence

from loadgen.analyze.results import ScalingEvent
from loadgen.analyze.results.chain import ChainLink, EventChain, FixFirst

CHANGEABLE = ("settings", "start_up", "traffic")
_LAST = "first_request"


def until_first_answer(chain: EventChain) -> tuple[ChainLink, ...]:
    """The links of a scale-up until its replicas answered: what follows is a result of them."""
    names = [link.name for link in chain.links]
    return chain.links[: names.index(_LAST) + 1] if _LAST in names else ()


def fix_first(chains: Sequence[EventChain], scaling: Sequence[ScalingEvent]) -> FixFirst | None:
    """The link whose time is longest over all scale-ups that were late; None without a late scale-up.

    Args:
        chains: The links of the scaling events.
        scaling: The scaling events.
    """
    total: dict[str, float] = {}
    merged: dict[str, set[str]] = {}
    events, whole_s = 0, 0.0
    for chain in chains:
        event = scaling[chain.event]
        early = event.lag_s is not None and event.lag_s <= 0
        if event.direction == "down" or early or event.needless:
            continue
        events += 1
        skipped: list[str] = []
        for link in until_first_answer(chain):
            if link.took_s is None:
                skipped = [*skipped, link.name] if link.at_s is None else []
                continue
            took_s = max(link.took_s, 0.0)
            whole_s += took_s
            if link.kind in CHANGEABLE:
                total[link.name] = total.get(link.name, 0.0) + took_s
                merged.setdefault(link.name, set()).update(skipped)
            skipped = []
    longest = max(total, key=total.__getitem__, default=None)
    if longest is None or total[longest] <= 0:
        return None
    order = [link.name for link in chains[0].links] if chains else []
    own = tuple(sorted(merged[longest], key=lambda name: order.index(name) if name in order else len(order)))
    return FixFirst(link=longest, merged=own, total_s=total[longest], events=events, of_total_s=whole_s)
