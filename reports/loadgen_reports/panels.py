"""Declares the panels of the timeline and the symbols of its events; page and PNG draw the same panels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadgen.analyze.findings.codes import SLO_METRICS
from loadgen.analyze.results import Analysis, Mark, Timeline
from loadgen.dataset.names import MARK_SYMBOLS, MarkSymbol
from loadgen_reports import format as fmt

# After Okabe and Ito (2008), darkened on white and lightened on black until text in them has a contrast of 4.5:1.
LIGHT = {
    "page": "#ffffff",
    "raised": "#f5f7f9",
    "band": "#f3f5f7",
    "ink": "#1b2127",
    "muted": "#56616c",
    "rule": "#d9dee3",
    "grey": "#66717c",
    "blue": "#0072b2",
    "navy": "#1f3f77",
    "green": "#007d5a",
    "orange": "#a86200",
    "vermillion": "#c04800",
    "purple": "#a3477c",
    "pass": "#0b6b4a",
    "fail": "#b3261e",
    "invalid": "#7a4a00",
    "over": "#b3261e",
    "on": "#ffffff",
}
DARK = {
    "page": "#14181c",
    "raised": "#1c2228",
    "band": "#191e23",
    "ink": "#e6eaee",
    "muted": "#a3aeb9",
    "rule": "#333c45",
    "grey": "#98a4b0",
    "blue": "#5aaef0",
    "navy": "#b9dcff",
    "green": "#2dbe96",
    "orange": "#eeb045",
    "vermillion": "#ff8b4d",
    "purple": "#e08fbf",
    "pass": "#4cc79b",
    "fail": "#ff8a80",
    "invalid": "#f0b860",
    "over": "#ff9a91",
    "on": "#14181c",
}

Shape = Literal["line", "steps", "area", "bars"]
SOLID: tuple[int, ...] = ()
DASHED = (6, 4)
DOTTED = (2, 3)
MAX_BINS = 7_800
"""More bins do not fit a page of 2 MB with every series; two hours at one second are 7,200."""
MAX_POD_VALUES = 220_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series of a panel: the name of its `Timeline` field, its label and its style.

    If `mean` is set, the page draws means of several bins where a bin is narrower than a pixel.
    """

    field: str
    label: str
    colour: str
    dash: tuple[int, ...] = SOLID
    width: float = 1.5
    shape: Shape = "line"
    mean: bool = False
    term: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A horizontal line of a panel, such as an SLO or the autoscaler's target; `margin_label` is beside the plot."""

    label: str
    margin_label: str
    value: float
    colour: str = "vermillion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Series that share a y axis.

    `by_replica` adds a light line for every replica; `integer` restricts the axis labels to whole numbers.
    """

    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    thresholds: tuple[Threshold, ...] = ()
    by_replica: bool = False
    integer: bool = False


def panels(analysis: Analysis) -> tuple[Panel, ...]:
    """The four panels of the time axis: load, latency, signal, replicas."""
    target = analysis.run.ratio_target
    return (
        Panel(
            key="load",
            title="Load",
            unit="requests/s",
            lines=(
                Line(field="offered_per_s", label="offered", colour="grey", shape="area", mean=True, term="arrival"),
                Line(field="completed_per_s", label="completed", colour="blue", width=1.75, mean=True),
                Line(field="failed_per_s", label="failed", colour="vermillion", shape="bars"),
            ),
        ),
        Panel(
            key="latency",
            title="Latency",
            unit="s",
            lines=(
                Line(field="ttft_p95_lower_s", label="TTFT p95", colour="blue", width=2, term="ttft"),
                Line(field="ttft_p50_lower_s", label="TTFT p50", colour="blue", dash=DOTTED, term="ttft"),
                Line(field="e2e_p95_lower_s", label="E2E p95", colour="green", width=2, term="e2e"),
                Line(field="e2e_p50_lower_s", label="E2E p50", colour="green", dash=DOTTED, term="e2e"),
            ),
            thresholds=_limits(analysis),
        ),
        Panel(
            key="ratio",
            title="Queue-to-compute ratio",
            unit="",
            lines=_ratios(analysis),
            thresholds=(
                Threshold(
                    label=f"target {fmt.ratio_value(target)}", margin_label=fmt.ratio_value(target), value=target
                ),
            )
            if fmt.known(target)
            else (),
            by_replica=True,
        ),
        Panel(
            key="replicas",
            title="Replicas",
            unit="",
            lines=(
                Line(field="serving", label="serving", colour="green", shape="area", width=1, term="serving"),
                Line(field="ready", label="ready", colour="blue", shape="steps", width=2, term="ready"),
                Line(field="desired", label="desired", colour="orange", shape="steps", dash=DASHED, term="desired"),
                Line(field="needed", label="needed", colour="purple", shape="steps", dash=DOTTED, term="demand"),
            ),
            integer=True,
        ),
    )


def _ratios(analysis: Analysis) -> tuple[Line, ...]:
    """The ratio as the HPA read it at its evaluations, where they are recorded, and as the samples give it."""
    truth = Line(field="ratio_truth", label="fleet, ground truth", colour="orange", dash=DASHED, term="truth")
    if not has_values(analysis.timeline.ratio_read):
        return Line(field="ratio", label="fleet, reconstructed", colour="blue", width=2, term="ratio"), truth
    read = "fleet, as the HPA read it"
    return (
        Line(field="ratio_read", label=read, colour="blue", width=2, shape="steps", term="ratio"),
        Line(field="ratio", label="fleet, reconstructed", colour="navy", dash=DOTTED, term="ratio"),
        truth,
    )


def _limits(analysis: Analysis) -> tuple[Threshold, ...]:
    return tuple(
        Threshold(label=f"SLO {f.title} ≤ {fmt.seconds(f.limit)}", margin_label=fmt.seconds(f.limit), value=f.limit)
        for f in analysis.findings
        if f.code in SLO_METRICS and SLO_METRICS[f.code][0] in ("ttft", "e2e") and f.unit == "s" and fmt.known(f.limit)
    )


LATENCIES = ("ttft_p50", "ttft_p95", "e2e_p50", "e2e_p95")
"""The latency series of the timeline, without `_lower_s` and `_upper_s`."""
UNKNOWN = "requests without an answer: lines are lower bounds, with a gap where there is no value"
"""The meaning of the bands of `unknown_spans`."""


def unknown_spans(timeline: Timeline) -> tuple[tuple[float, float], ...]:
    """The spans in which a latency has no value or only a lower bound, as requests that were due got no answer."""
    pairs = [(getattr(timeline, f"{name}_lower_s"), getattr(timeline, f"{name}_upper_s")) for name in LATENCIES]
    spans: list[tuple[float, float]] = []
    for number, start_s in enumerate(timeline.t_s):
        if any(low[number] == math.inf or low[number] < high[number] for low, high in pairs):
            first_s = spans.pop()[0] if spans and spans[-1][1] == start_s else start_s
            spans.append((first_s, start_s + timeline.bin_s))
    return tuple(spans)


def has_values(series: Sequence[float]) -> bool:
    """Whether a series has any finite value."""
    return any(math.isfinite(value) for value in series)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """The symbol of a kind of mark; if `line` is set, it also has a vertical line across all panels."""

    shape: Literal["up", "down", "disc", "ring", "cross", "diamond", "tick"]
    colour: str
    name: str
    line: bool = False


_SYMBOLS: dict[MarkSymbol, Symbol] = {
    MarkSymbol.SCALE_UP: Symbol(shape="up", colour="orange", name="scale-up decided", line=True),
    MarkSymbol.SCALE_DOWN: Symbol(shape="down", colour="orange", name="scale-down decided", line=True),
    MarkSymbol.READY: Symbol(shape="disc", colour="blue", name="replica ready"),
    MarkSymbol.NOT_READY: Symbol(shape="ring", colour="vermillion", name="replica not ready"),
    MarkSymbol.FAILURE: Symbol(shape="cross", colour="vermillion", name="crash, kill or collection gap", line=True),
    MarkSymbol.STOPPED: Symbol(shape="ring", colour="grey", name="replica terminating"),
    MarkSymbol.CREATED: Symbol(shape="tick", colour="blue", name="replica created"),
    MarkSymbol.LOAD: Symbol(shape="tick", colour="purple", name="load starts or ends", line=True),
    MarkSymbol.OTHER: Symbol(shape="tick", colour="grey", name="other event"),
}
_RESCALE_SYMBOLS = {"up": MarkSymbol.SCALE_UP, "down": MarkSymbol.SCALE_DOWN}


def symbol_key(mark: Mark) -> MarkSymbol:
    """The key of a mark's symbol; a kind of a newer version is drawn as `other`."""
    if mark.direction is not None:
        return _RESCALE_SYMBOLS[mark.direction]
    return MARK_SYMBOLS.get(mark.kind, MarkSymbol.OTHER)


def mark_text(mark: Mark) -> str:
    """The text of a mark: its label, and for a rescale its direction."""
    if mark.direction is not None:
        return f"{_SYMBOLS[symbol_key(mark)].name}: {mark.label}"
    return mark.label or mark.kind


def symbols() -> dict[MarkSymbol, Symbol]:
    """The symbols by key."""
    return dict(_SYMBOLS)


def downsample(timeline: Timeline, factor: int) -> Timeline:
    """Downsample the timeline: `factor` bins become one.

    Rates, ratios and medians are averaged without missing bins, of 95th percentiles the maximum is used, and of
    replicas and requests in flight the last value.
    """
    if factor <= 1:
        return timeline

    def groups(series: Sequence[float]) -> list[list[float]]:
        return [
            [value for value in series[i : i + factor] if not math.isnan(value)] for i in range(0, len(series), factor)
        ]

    def mean(series: Sequence[float]) -> tuple[float, ...]:
        return tuple(sum(group) / len(group) if group else math.nan for group in groups(series))

    def maximum(series: Sequence[float]) -> tuple[float, ...]:
        return tuple(max(group) if group else math.nan for group in groups(series))

    def last(series: Sequence[float]) -> tuple[float, ...]:
        return tuple(group[-1] if group else math.nan for group in groups(series))

    return replace(
        timeline,
        t_s=timeline.t_s[::factor],
        bin_s=timeline.bin_s * factor,
        offered_per_s=mean(timeline.offered_per_s),
        completed_per_s=mean(timeline.completed_per_s),
        failed_per_s=mean(timeline.failed_per_s),
        in_flight=last(timeline.in_flight),
        ttft_p50_s=mean(timeline.ttft_p50_s),
        ttft_p95_s=maximum(timeline.ttft_p95_s),
        e2e_p50_s=mean(timeline.e2e_p50_s),
        e2e_p95_s=maximum(timeline.e2e_p95_s),
        ttft_p50_lower_s=mean(timeline.ttft_p50_lower_s),
        ttft_p50_upper_s=mean(timeline.ttft_p50_upper_s),
        ttft_p95_lower_s=maximum(timeline.ttft_p95_lower_s),
        ttft_p95_upper_s=maximum(timeline.ttft_p95_upper_s),
        e2e_p50_lower_s=mean(timeline.e2e_p50_lower_s),
        e2e_p50_upper_s=mean(timeline.e2e_p50_upper_s),
        e2e_p95_lower_s=maximum(timeline.e2e_p95_lower_s),
        e2e_p95_upper_s=maximum(timeline.e2e_p95_upper_s),
        ratio=mean(timeline.ratio),
        ratio_truth=mean(timeline.ratio_truth),
        ratio_by_pod={pod: mean(series) for pod, series in timeline.ratio_by_pod.items()},
        desired=last(timeline.desired),
        ready=last(timeline.ready),
        serving=last(timeline.serving),
        needed=last(timeline.needed),
        ratio_read=last(timeline.ratio_read),
    )
