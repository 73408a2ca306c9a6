"""Packs the timeline as compact data for the page: columns of short numbers, without what the page can compute."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.analyze.results import Analysis, ScalingEvent, Timeline
from loadgen_reports import format as fmt
from loadgen_reports.lag_text import event_name
from loadgen_reports.lags import event_lag
from loadgen_reports.panels import (
    MOST_BINS,
    MOST_POD_VALUES,
    Panel,
    condense,
    has_values,
    mark_text,
    panels,
    symbol_key,
    symbols,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Ratios of replicas that never overlapped in time, in one series; `pods` has the range of bins of each."""

    values: tuple[float, ...]
    pods: tuple[tuple[int, int, str], ...]


def shown(timeline: Timeline) -> tuple[Timeline, int]:
    """The timeline as the page draws it, and how many bins of the analysis one of its bins stands for."""
    factor = max(1, math.ceil(len(timeline.t_s) / MOST_BINS))
    return condense(timeline, factor), factor


def lanes(by_pod: dict[str, tuple[float, ...]]) -> list[Lane]:
    """Replicas packed into as few series as were alive at once: hundreds come and go in hours, few at a time."""
    spans = []
    for pod, series in by_pod.items():
        alive = [i for i, value in enumerate(series) if math.isfinite(value)]
        if alive:
            spans.append((alive[0], alive[-1], pod))
    packed: list[list[tuple[int, int, str]]] = []
    for span in sorted(spans):
        # One empty bin between two replicas keeps their lines apart.
        free = next((lane for lane in packed if lane[-1][1] + 1 < span[0]), None)
        if free is None:
            packed.append([span])
        else:
            free.append(span)
    found = []
    for lane in packed:
        values = [math.nan] * len(by_pod[lane[0][2]])
        for first, last, pod in lane:
            values[first : last + 1] = by_pod[pod][first : last + 1]
        found.append(Lane(values=tuple(values), pods=tuple(lane)))
    return found


def data(analysis: Analysis) -> dict[str, object]:
    """What the page's script needs, ready for JSON; times are seconds from the start of the load."""
    timeline, _ = shown(analysis.timeline)
    drawn = panels(analysis)
    fields = {line.field for panel in drawn for line in panel.lines} | {"in_flight"}
    found = lanes(timeline.ratio_by_pod)
    every = max(1, math.ceil(len(found) * len(timeline.t_s) / MOST_POD_VALUES))
    return {
        "bin": timeline.bin_s,
        "t": _pack(timeline.t_s, 7),
        "series": {name: _pack(getattr(timeline, name), 4) for name in sorted(fields)},
        "every": every,
        "lanes": [
            {"v": _pack(_thin(lane.values, every), 3), "pods": [[a, b, fmt.clean(pod)] for a, b, pod in lane.pods]}
            for lane in found
        ],
        "panels": [_panel(panel, timeline) for panel in drawn],
        "stages": [[fmt.clean(span.name), _short(span.start_s), _short(span.end_s)] for span in analysis.stage_spans],
        "lags": [
            [fmt.clean(f"lag window {span.name}"), _short(span.start_s), _short(span.end_s)]
            for span in analysis.lag_windows
        ],
        "marks": [
            [_short(mark.t_s), symbol_key(mark), fmt.clean(", ".join(filter(None, (mark_text(mark), mark.pod))))]
            for mark in sorted(analysis.marks, key=lambda mark: mark.t_s)
        ],
        "symbols": {
            key: {"shape": symbol.shape, "colour": symbol.colour, "name": symbol.name, "tall": symbol.tall}
            for key, symbol in symbols().items()
        },
        "events": [_event(i, event) for i, event in enumerate(analysis.scaling)],
    }


def _panel(panel: Panel, timeline: Timeline) -> dict[str, object]:
    return {
        "key": panel.key,
        "unit": panel.unit,
        "whole": panel.whole,
        "lanes": panel.by_replica,
        "lines": [
            {
                "field": line.field,
                "label": line.label,
                "colour": line.colour,
                "dash": line.dash,
                "width": line.width,
                "shape": line.shape,
                "mean": line.mean,
            }
            for line in panel.lines
        ],
        "rules": [[rule.short, rule.value] for rule in panel.rules],
        "measured": measured(panel, timeline),
    }


def measured(panel: Panel, timeline: Timeline) -> bool:
    """Whether a panel has anything to draw."""
    series = [getattr(timeline, line.field) for line in panel.lines]
    return any(has_values(values) for values in series) or (
        panel.by_replica and any(has_values(values) for values in timeline.ratio_by_pod.values())
    )


def _event(index: int, event: ScalingEvent) -> list[object]:
    """A scaling event as something to zoom to: name, and a span with some room on both sides."""
    times = (event.trigger_s, event.over_target_s, event.decided_s, event.ready_s, event.serving_s, event.recovered_s)
    known = [at for at in times if fmt.known(at)]
    margin = max(5.0, 0.15 * (max(known) - min(known)))
    lag = event_lag(event)
    suffix = f", {fmt.lag(lag)}" if fmt.known(lag) else ""
    name = f"{index + 1}: {event_name(event)} at {fmt.clock(event.decided_s)}{suffix}"
    return [name, _short(min(known) - margin), _short(max(known) + margin)]


def _thin(values: Sequence[float], every: int) -> Sequence[float]:
    if every == 1:
        return values
    groups = ([v for v in values[i : i + every] if math.isfinite(v)] for i in range(0, len(values), every))
    return [sum(group) / len(group) if group else math.nan for group in groups]


def _short(value: float) -> float:
    return round(value, 2)


def _pack(values: Sequence[float], digits: int) -> str:
    """Numbers joined by commas, nothing where a value is missing: a fraction of JSON's size for gaps."""
    return ",".join(_digits(value, digits) for value in values)


def _digits(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return ""
    text = f"{value:.{digits}g}"
    return text[1:] if text.startswith("0.") else text
