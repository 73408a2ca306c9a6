"""Renders the figures of the page as PNG images."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadgen.analyze.results import Analysis, Timeline
from loadgen.dataset.names import MarkSymbol
from loadgen_reports import format as fmt
from loadgen_reports.chart import drawn_panels, lanes, measured
from loadgen_reports.lags import Bar, bars
from loadgen_reports.panels import LIGHT, Line, Panel, downsample, symbol_key, symbols, unknown_spans

NAMES = ("timeline.png", "load.png", "latency.png", "ratio.png", "replicas.png", "lag.png")
_DPI = 150
_WIDTH_IN = 9.0
_MAX_BINS = 1_200
"""About the width of a figure in pixels; more bins only cost time."""


def render(analysis: Analysis) -> dict[str, bytes]:
    """The figures as PNG images by file name; a figure without measured values is omitted."""
    timeline = downsample(analysis.timeline, math.ceil(len(analysis.timeline.t_s) / _MAX_BINS))
    drawn = [panel for panel in drawn_panels(analysis) if measured(panel, timeline)]
    images: dict[str, bytes] = {}
    with warnings.catch_warnings():
        # A stage name may have a letter that the font lacks, which is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if drawn:
            images["timeline.png"] = _stack(analysis, timeline, drawn)
            images |= {f"{panel.key}.png": _stack(analysis, timeline, [panel]) for panel in drawn}
        lag_bars = bars(analysis)
        if lag_bars:
            images["lag.png"] = _lag(lag_bars)
    return images


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    # Without the version of matplotlib, so that the same analysis gives the same bytes.
    figure.savefig(target, format="png", dpi=_DPI, metadata={"Software": None})
    return target.getvalue()


def _figure(height_in: float) -> Figure:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained", facecolor=LIGHT["page"])
    FigureCanvasAgg(figure)
    return figure


def _stack(analysis: Analysis, timeline: Timeline, drawn: Sequence[Panel]) -> bytes:
    single = len(drawn) == 1
    figure = _figure(3.2 if single else 2.1 * len(drawn))
    grid = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)
    for row, panel in zip(grid, drawn, strict=True):
        _panel(row[0], analysis, timeline, panel)
    axes = grid[-1][0]
    axes.set_xlim(timeline.t_s[0], timeline.t_s[-1] + timeline.bin_s)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: fmt.clock(value)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 1.5, 3, 6, 10]))
    axes.set_xlabel("time from the start of the load", color=LIGHT["muted"], fontsize=8)
    return _png(figure)


def _panel(axes: Axes, analysis: Analysis, timeline: Timeline, panel: Panel) -> None:
    title = f"{panel.title}, {panel.unit}" if panel.unit else panel.title
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", color=LIGHT["ink"])
    axes.tick_params(labelsize=8, colors=LIGHT["muted"], length=3)
    axes.grid(visible=True, color=LIGHT["rule"], linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LIGHT["rule"])
    pixel_s = (timeline.t_s[-1] + timeline.bin_s - timeline.t_s[0]) / _MAX_BINS
    for i, span in enumerate(analysis.stage_spans):
        if i % 2 and span.end_s - span.start_s > pixel_s:
            axes.axvspan(span.start_s, span.end_s, color=LIGHT["band"], zorder=0)
    for window in analysis.lag_windows:
        if window.end_s - window.start_s <= pixel_s:
            continue
        axes.axvspan(
            window.start_s,
            window.end_s,
            facecolor="none",
            edgecolor=LIGHT["orange"],
            alpha=0.35,
            hatch="////",
            lw=0,
            zorder=0.5,
        )
    for k, (start_s, end_s) in enumerate(unknown_spans(timeline) if panel.key == "latency" else ()):
        label = "lower bound, or no value" if k == 0 else "_nolegend_"
        axes.axvspan(start_s, end_s, color=LIGHT["vermillion"], alpha=0.15, lw=0, zorder=0.5, label=label)
    _marks(axes, analysis, pixel_s)
    if panel.by_replica:
        for k, lane in enumerate(lanes(timeline.ratio_by_pod)):
            label = "each replica" if k == 0 else "_nolegend_"
            axes.plot(timeline.t_s, lane.values, color=LIGHT["grey"], alpha=0.45, linewidth=0.8, label=label)
    for line in panel.lines:
        _line(axes, timeline, line)
    highest = max(
        (value for line in panel.lines for value in getattr(timeline, line.field) if math.isfinite(value)), default=0
    )
    for threshold in panel.thresholds:
        if highest == 0 or threshold.value <= 2.5 * highest:
            axes.axhline(
                threshold.value, color=LIGHT[threshold.colour], linestyle="-.", linewidth=1.2, label=threshold.label
            )
    if panel.integer:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    # Above the plot, where it covers no series.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=6,
        fontsize=7.5,
        frameon=False,
        borderaxespad=0.2,
        labelcolor=LIGHT["ink"],
    )


def _marks(axes: Axes, analysis: Analysis, pixel_s: float) -> None:
    """Draw the marks that have a line; of several of one kind in one pixel, the first."""
    times: dict[MarkSymbol, list[float]] = {}
    for mark in analysis.marks:
        own = times.setdefault(symbol_key(mark), [])
        if not own or mark.t_s - own[-1] >= pixel_s:
            own.append(mark.t_s)
    for key, at_s in times.items():
        symbol = symbols()[key]
        if symbol.line:
            dash: Literal[":", "-", "--"] = ":" if symbol.shape == "disc" else "-" if symbol.shape == "cross" else "--"
            axes.vlines(
                at_s,
                0,
                1,
                transform=axes.get_xaxis_transform(),
                colors=LIGHT[symbol.colour],
                linestyles=dash,
                linewidth=0.8,
                alpha=0.6,
                zorder=2,
            )


def _line(axes: Axes, timeline: Timeline, line: Line) -> None:
    values = [value if math.isfinite(value) else math.nan for value in getattr(timeline, line.field)]
    colour = LIGHT[line.colour]
    if line.shape == "bars":
        # Without empty bins: a patch for each would take longer than the rest of the figure.
        bins = [(t, value) for t, value in zip(timeline.t_s, values, strict=True) if value > 0] or [
            (timeline.t_s[0], 0.0)
        ]
        axes.bar(
            [t for t, _ in bins],
            [value for _, value in bins],
            width=timeline.bin_s,
            align="edge",
            color=colour,
            edgecolor=colour,
            lw=0.6,
            label=line.label,
        )
        return
    dash = (0, line.dash) if line.dash else "-"
    step = "steps-post" if line.shape in ("steps", "area") else "default"
    axes.plot(
        timeline.t_s, values, color=colour, linewidth=line.width, linestyle=dash, drawstyle=step, label=line.label
    )
    if line.shape == "area":
        axes.fill_between(timeline.t_s, values, step="post", color=colour, alpha=0.2, linewidth=0)


def _lag(lag_bars: Sequence[Bar]) -> bytes:
    figure = _figure(0.9 + 0.34 * len(lag_bars))
    axes = figure.subplots()
    for row, bar in enumerate(lag_bars):
        for segment in bar.segments:
            recovery = segment.colour == "none"
            axes.barh(
                row,
                segment.end_s - segment.start_s,
                left=segment.start_s,
                height=0.7,
                color=LIGHT["raised" if recovery else segment.colour],
                edgecolor=LIGHT["muted" if recovery else "page"],
                linestyle="--" if recovery else "-",
                linewidth=0.8,
            )
    axes.set_yticks(
        range(len(lag_bars)), [f"{bar.name}, {bar.start}" for bar in lag_bars], fontsize=8, color=LIGHT["ink"]
    )
    axes.invert_yaxis()
    axes.set_xlabel("seconds from the load step", fontsize=8, color=LIGHT["muted"])
    axes.tick_params(labelsize=8, colors=LIGHT["muted"])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles: dict[str, Patch] = {}
    for bar in lag_bars:
        for segment in bar.segments:
            recovery = segment.colour == "none"
            handles.setdefault(
                segment.name,
                Patch(
                    facecolor=LIGHT["raised" if recovery else segment.colour],
                    edgecolor=LIGHT["muted" if recovery else "page"],
                    linestyle="--" if recovery else "-",
                    label=segment.name,
                ),
            )
    figure.legend(handles=list(handles.values()), loc="outside upper left", ncols=4, fontsize=7.5, frameon=False)
    return _png(figure)
