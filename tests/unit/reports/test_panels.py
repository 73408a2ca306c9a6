"""Panels, their symbols and their colours."""

import math
import re
from dataclasses import replace

import pytest
from loadgen_reports import chart, lags, panels
from loadgen_reports.formats import html
from loadgen_reports.timeline_tables import timeline_table

from loadgen.analyze.results import Analysis, Direction, Mark
from loadgen.dataset.names import MarkSymbol
from support.runs.synthetic import sample

READINESS = ("replica_ready", "replica_not_ready")


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("replica_ready", "ready"),
        ("replica_not_ready", "not_ready"),
        ("replica_created", "created"),
        ("replica_draining", "stopped"),
        ("replica_crashed", "trouble"),
        ("replica_killed", "trouble"),
        ("part_died", "trouble"),
        ("collect_gap", "trouble"),
        ("load_started", "load"),
        ("load_stopped", "load"),
        ("node_lost", "other"),
        ("something_new", "other"),
    ],
)
def test_every_kind_of_mark_has_a_symbol(kind: str, key: str) -> None:
    """Declared kinds have their symbols, and an unknown one is still drawn."""
    mark = Mark(t_s=0.0, kind=kind, label="")
    assert panels.symbol_key(mark) == key
    assert key in panels.symbols()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_rescale_is_drawn_by_its_direction(direction: Direction) -> None:
    """Scale-ups and scale-downs have different symbols, whatever the label says."""
    mark = Mark(t_s=0.0, kind="hpa_rescale", label="? → ? replicas", direction=direction)
    assert panels.symbol_key(mark) == direction


def test_a_lost_readiness_is_not_drawn_as_ready() -> None:
    """Shape, colour and name of the two marks all differ."""
    ready, lost = (panels.symbols()[panels.symbol_key(Mark(t_s=0.0, kind=kind, label=""))] for kind in READINESS)
    assert (ready.name, lost.name) == ("replica ready", "replica not ready")
    assert ready.shape != lost.shape
    assert ready.colour != lost.colour


def test_every_declared_symbol_is_drawn() -> None:
    """No declared symbol lacks a shape."""
    assert set(panels.symbols()) == set(MarkSymbol)


def test_condensing_a_timeline(failing: Analysis) -> None:
    """In longer bins rates are means, a p95 is the maximum, counts are the last, and missing values stay missing."""
    line = replace(
        failing.timeline,
        **dict.fromkeys(("e2e_p50_s", "e2e_p95_s", "in_flight", "ratio_truth", "desired", "serving"), (0.0,) * 5),
        t_s=(0.0, 1.0, 2.0, 3.0, 4.0),
        offered_per_s=(1.0, 3.0, 5.0, math.nan, 7.0),
        completed_per_s=(0.0,) * 5,
        failed_per_s=(0.0,) * 5,
        ttft_p50_s=(1.0, 2.0, math.nan, math.nan, 3.0),
        ttft_p95_s=(1.0, 9.0, 2.0, 3.0, 4.0),
        ttft_p95_lower_s=(1.0, math.inf, 2.0, 3.0, 4.0),
        ratio=(0.0, 1.0, 2.0, 2.0, 5.0),
        ratio_by_pod={"a": (1.0, 3.0, math.nan, math.nan, 2.0)},
        ready=(1.0, 2.0, 3.0, math.nan, 4.0),
    )
    coarse = panels.downsample(line, 2)
    assert coarse.t_s == (0.0, 2.0, 4.0)
    assert coarse.bin_s == 2.0
    assert coarse.offered_per_s == (2.0, 5.0, 7.0)
    assert coarse.ttft_p95_s == (9.0, 3.0, 4.0)
    assert coarse.ttft_p95_lower_s == (math.inf, 3.0, 4.0)
    assert coarse.ready == (2.0, 3.0, 4.0)
    assert coarse.ttft_p50_s[0] == 1.5
    assert math.isnan(coarse.ttft_p50_s[1])
    assert math.isnan(coarse.ratio_by_pod["a"][1])
    assert panels.downsample(line, 1) is line


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [panels.LIGHT, panels.DARK], ids=["light", "dark"])
def test_colours_have_enough_contrast(theme: dict[str, str]) -> None:
    """Every colour of text or line has the contrast of WCAG AA, 4.5:1, on the page and on the raised surface."""
    inks = set(theme) - {"page", "raised", "band", "rule", "on"}
    for ink in inks:
        assert contrast(theme[ink], theme["page"]) >= 4.5, ink
    for ink in ("ink", "muted", "purple", "pass", "fail", "invalid"):
        assert contrast(theme[ink], theme["raised"]) >= 4.5, ink
    for fill in ("pass", "fail", "invalid", "grey", "orange", "purple", "vermillion", "blue", "navy", "green"):
        assert contrast(theme["on"], theme[fill]) >= 4.5, fill


def test_every_colour_is_defined_in_both_themes(failing: Analysis) -> None:
    """Lines, thresholds, symbols and bars use colours that the light and the dark theme define."""
    used = {line.colour for panel in panels.panels(failing) for line in panel.lines}
    used |= {each.colour for panel in panels.panels(failing) for each in panel.thresholds}
    used |= {symbol.colour for symbol in panels.symbols().values()}
    used |= {colour for _, _, colour in lags.SEGMENTS} - {"none"}
    assert used <= set(panels.LIGHT)
    assert set(panels.LIGHT) == set(panels.DARK)


def test_every_line_and_its_key_have_their_colour_on_the_page(failing: Analysis) -> None:
    """The stylesheet has a class for the colour of each line, and the script reads that colour; else nothing is drawn.

    The recorded ratio of the HPA adds a line, so that of the fleet has another colour.
    """
    read = replace(failing, timeline=replace(failing.timeline, ratio_read=failing.timeline.ratio))
    page = html.render(read)
    names = re.search(r"for \(const name of \[([^]]*)\]\)", page)
    assert names is not None
    drawn = chart.drawn_panels(read)
    used = {line.colour for panel in drawn for line in panel.lines}
    assert "navy" in used
    for colour in used | {each.colour for panel in drawn for each in panel.thresholds}:
        assert f".c-{colour} " in page, colour
        assert f'"{colour}"' in names[1], colour


def test_a_line_without_a_value_has_no_key(failing: Analysis) -> None:
    """A run of which it is unknown what it needed has three lines of replicas on the page, and three keys."""
    unknown = tuple(math.nan for _ in failing.timeline.t_s)
    made = replace(failing, timeline=replace(failing.timeline, needed=unknown))
    (replicas,) = (panel for panel in chart.drawn_panels(made) if panel.key == "replicas")
    assert [line.label for line in replicas.lines] == ["serving", "ready", "desired"]
    legend = html.render(made).partition('aria-label="Series of Replicas"')[2].partition("</span>")[0]
    assert legend.count("<button") == 3


def test_the_timeline_table_stays_short() -> None:
    """The table below the charts has about a hundred rows even for hours, and a note says what a row stands for."""
    table = timeline_table(sample("two-hours"))
    assert 60 <= len(table.rows) <= 120
    assert table.notes[0].startswith("Each row covers 61 s")
