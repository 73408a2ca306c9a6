"""Encodes the timeline for the page as columns of short numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loadgen.analyze.results import Analysis, ScalingEvent, Timeline
from loadgen_reports import format as fmt
from loadgen_reports.lag_sentences import event_name
from loadgen_reports.lags import event_lag, lag_text
from loadgen_reports.panels import (
    MAX_BINS,
    MAX_POD_VALUES,
    Panel,
    downsample,
    has_values,
    mark_text,
    panels,
    symbol_key,
    symbols,
    unknown_spans,
)

MAX_MARKS = 2_000
"""Most marks of the charts of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One series with the ratios of replicas that did not overlap; `pods` has the first and last bin of each."""

    values: tuple[float, ...]
    pods: tuple[tuple[int, int, str], ...]


def page_timeline(timeline: Timeline) -> tuple[Timeline, int]:
    """The timeline at the resolution of the page, and the number of original bins in each of its bins."""
    factor = max(1, math.ceil(len(timeline.t_s) / MAX_BINS))
    return downsample(timeline, factor), factor


def lanes(by_pod: dict[str, tuple[float, ...]]) -> list[Lane]:
    """Pack replicas into as few series as possible: a long run has hundreds of replicas, but few at a time."""
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
    result = []
    for lane in packed:
        values = [math.nan] * len(by_pod[lane[0][2]])
        for first, last, pod in lane:
            values[first : last + 1] = by_pod[pod][first : last + 1]
        result.append(Lane(values=tuple(values), pods=tuple(lane)))
    return result


def data(analysis: Analysis) -> dict[str, object]:
    """The data of the page's script, ready for JSON; times are seconds from the start of the load."""
    timeline, _ = page_timeline(analysis.timeline)
    drawn = drawn_panels(analysis)
    fields = {line.field for panel in drawn for line in panel.lines} | {"in_flight"}
    replicas = lanes(timeline.ratio_by_pod)
    lane_bins = max(1, math.ceil(len(replicas) * len(timeline.t_s) / MAX_POD_VALUES))
    return {
        "bin": timeline.bin_s,
        "t": _pack(timeline.t_s, 7),
        "series": {name: _pack(getattr(timeline, name), 4) for name in sorted(fields)},
        "lane_bins": lane_bins,
        "lanes": [
            {
                "v": _pack(_downsample(lane.values, lane_bins), 3),
                "pods": [[a, b, fmt.clean(pod)] for a, b, pod in lane.pods],
            }
            for lane in replicas
        ],
        "panels": [_panel(panel, timeline) for panel in drawn],
        "stages": [
            [fmt.clean(span.name), _rounded(span.start_s), _rounded(span.end_s)] for span in analysis.stage_spans
        ],
        "lags": [
            [fmt.clean(f"lag window {span.name}"), _rounded(span.start_s), _rounded(span.end_s)]
            for span in analysis.lag_windows
        ],
        "unknown": [[_rounded(start_s), _rounded(end_s)] for start_s, end_s in unknown_spans(timeline)],
        "marks": [
            [_rounded(mark.t_s), symbol_key(mark), fmt.clean(", ".join(filter(None, (mark_text(mark), mark.pod))))]
            for mark in sorted(analysis.marks, key=lambda mark: mark.t_s)[:MAX_MARKS]
        ],
        "symbols": {
            key: {"shape": symbol.shape, "colour": symbol.colour, "name": symbol.name, "line": symbol.line}
            for key, symbol in symbols().items()
        },
        "events": [_event(i, event) for i, event in enumerate(analysis.scaling)],
    }


def _panel(panel: Panel, timeline: Timeline) -> dict[str, object]:
    return {
        "key": panel.key,
        "unit": panel.unit,
        "integer": panel.integer,
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
        "thresholds": [[each.margin_label, each.value] for each in panel.thresholds],
        "measured": measured(panel, timeline),
    }


def drawn_panels(analysis: Analysis) -> tuple[Panel, ...]:
    """The panels without lines that have no value; a panel without any value keeps all of them."""
    made = []
    for panel in panels(analysis):
        lines = tuple(line for line in panel.lines if has_values(getattr(analysis.timeline, line.field)))
        made.append(replace(panel, lines=lines or panel.lines))
    return tuple(made)


def measured(panel: Panel, timeline: Timeline) -> bool:
    """Whether a panel has anything to draw."""
    series = [getattr(timeline, line.field) for line in panel.lines]
    return any(has_values(values) for values in series) or (
        panel.by_replica and any(has_values(values) for values in timeline.ratio_by_pod.values())
    )


def _event(index: int, event: ScalingEvent) -> list[object]:
    """A scaling event as an entry of the zoom menu: name, and its span with a margin on both sides."""
    times = (event.trigger_s, event.over_target_s, event.decided_s, event.ready_s, event.serving_s, event.recovered_s)
    known = [at for at in times if fmt.known(at)]
    margin = max(5.0, 0.15 * (max(known) - min(known)))
    suffix = f", {lag_text(event)}" if fmt.known(event_lag(event)) else ""
    name = f"{index + 1}: {event_name(event)} at {fmt.clock(event.decided_s)}{suffix}"
    return [name, _rounded(min(known) - margin), _rounded(max(known) + margin)]


def _downsample(values: Sequence[float], factor: int) -> Sequence[float]:
    if factor == 1:
        return values
    groups = ([v for v in values[i : i + factor] if math.isfinite(v)] for i in range(0, len(values), factor))
    return [sum(group) / len(group) if group else math.nan for group in groups]


def _rounded(value: float) -> float:
    return round(value, 2)


def _pack(values: Sequence[float], digits: int) -> str:
    """Numbers joined by commas, with an empty string for a missing value; much shorter than JSON's null."""
    return ",".join(_compact(value, digits) for value in values)


def _compact(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return ""
    text = f"{value:.{digits}g}"
    return text[1:] if text.startswith("0.") else text
