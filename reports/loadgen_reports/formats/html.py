"""Renders `report.html`, one page that needs no network."""

import base64
import functools
import hashlib
import json
import re
from dataclasses import asdict
from importlib import resources
from pathlib import PurePosixPath

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound

from loadgen.analyze.results import Analysis, Verdict
from loadgen_reports import (
    audits,
    chart,
    costs,
    demand,
    distribution,
    generators,
    glossary,
    lags,
    provenance,
    signal_tables,
    spread,
    tables,
)
from loadgen_reports import format as fmt
from loadgen_reports.attainment import attainment_table
from loadgen_reports.chains import chain_tables, fix_sentence
from loadgen_reports.failures import failure_table
from loadgen_reports.finding_text import SYMBOL, finding_sentence, split_code
from loadgen_reports.in_time import in_time_line, lag_parts
from loadgen_reports.panels import (
    DARK,
    LIGHT,
    UNKNOWN,
    Panel,
    symbol_key,
    symbols,
    unknown_spans,
)
from loadgen_reports.sentences import VERDICT, emulation, listed_findings, opening, replica_span, signal_sentence
from loadgen_reports.timeline_tables import marks_table, timeline_table

_UNITS = re.compile(r"(?<=[\d∞]) (?=(?:s|ms|min|h|%)\b|%)")


def render(analysis: Analysis) -> str:
    """Render the page as one HTML text that contains its style, scripts and data.

    Its content security policy allows only these scripts and this style, by their hashes, and no connections, so that
    the page makes no requests, even if the error message of a server contains markup.
    """
    # The page contains a copy of the library, so it must contain its licence.
    library = f"/*!\n{_read('vendor/uPlot.LICENSE')}\n*/\n{_read('vendor/uPlot.iife.min.js')}"
    script = _read("report.js")
    style = _read("vendor/uPlot.min.css") + page_style()
    timeline, factor = chart.page_timeline(analysis.timeline)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            analysis=analysis,
            verdict=VERDICT[analysis.verdict],
            symbol=SYMBOL,
            split_code=split_code,
            in_time=in_time_line(analysis),
            lag_parts=lag_parts(analysis),
            fix=fix_sentence(analysis),
            failures=failure_table(analysis),
            chain_tables=chain_tables(analysis),
            summary=opening(analysis),
            emulated=emulation(analysis.run.emulated) if analysis.run.emulated else None,
            notable=[(f.severity, finding_sentence(f)) for f in listed_findings(analysis)],
            autoscaler=provenance.autoscaler(analysis),
            signal=signal_sentence(analysis),
            repeated_prompts=provenance.repeated_prompts(analysis),
            measured=analysis.run.state != "never_started",
            key_figures=_key_figures(analysis),
            panels=[(panel, chart.measured(panel, timeline)) for panel in chart.drawn_panels(analysis)],
            no_data_reason=_no_data_reason(analysis),
            has_lanes=bool(chart.lanes(timeline.ratio_by_pod)),
            factor=factor,
            bin_s=timeline.bin_s,
            symbols=_legend_symbols(analysis),
            unknown=UNKNOWN if unknown_spans(timeline) else None,
            timeline_table=timeline_table(analysis),
            marks_table=marks_table(analysis),
            tables=tables,
            signal_tables=signal_tables,
            spread=spread,
            attainment=attainment_table(analysis),
            lags=lags,
            costs=costs,
            demand=demand,
            generators=generators,
            audits=audits,
            provenance=provenance,
            bars=_bars(analysis),
            glossary=glossary.TERMS,
            style=style,
            library=library,
            script=script,
            data=_data(analysis),
            policy=policy(style, library, script),
            icon=icon(analysis.verdict),
            dashes=_dashes,
        )
    )


@functools.cache
def environment() -> Environment:
    """The templates of the package with their filters; each is compiled once in a process."""
    made = Environment(
        loader=_Templates(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "units": _units,
        "rounded_duration": fmt.rounded_duration,
        "utc": fmt.utc,
        "clock": fmt.clock,
        "count": fmt.count,
    }
    made.finalize = lambda value: fmt.clean(value) if type(value) is str else value
    return made


def page_style() -> str:
    """The style of a page without charts."""
    return _palette() + _read("report.css")


class _Templates(BaseLoader):
    """Loads templates from the package, even if it is not a folder on disk."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, None]:
        if PurePosixPath(template).name != template:
            raise TemplateNotFound(template)
        return _read(template), None, None


def _read(name: str) -> str:
    return (resources.files("loadgen_reports") / "templates" / name).read_text(encoding="utf-8")


def _data(analysis: Analysis) -> str:
    """The data as ASCII JSON with `<`, `>` and `&` escaped, so that it cannot end its script element."""
    text = json.dumps(chart.data(analysis), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(style: str, *scripts: str) -> str:
    """The content security policy of a page with this style and these scripts."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = " ".join(digest(script) for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _palette() -> str:
    """Colours as CSS variables: light; dark by system preference or by choice; light in print."""

    def block(selector: str, scheme: str, colours: dict[str, str]) -> str:
        variables = "".join(f"--{name}:{value};" for name, value in colours.items())
        return f"{selector}{{color-scheme:{scheme};{variables}}}\n"

    return (
        "\n"
        + block(":root", "light", LIGHT)
        + "@media (prefers-color-scheme:dark){"
        + block(":root:not([data-theme=light])", "dark", DARK)
        + "}\n"
        + block(":root[data-theme=dark]", "dark", DARK)
        + "@media print{"
        + block(":root:root:root", "light", LIGHT)
        + "}\n"
    )


def icon(verdict: Verdict) -> str:
    """The icon of a page, as a data URL."""
    colour = {"pass": LIGHT["pass"], "fail": LIGHT["fail"], "invalid": LIGHT["invalid"]}[verdict]
    sign = {"pass": "M4 8.5l3 3 5-6", "fail": "M4.5 4.5l7 7m0-7l-7 7", "invalid": "M8 3.5v5.5m0 2.5v1"}[verdict]
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
        f"<rect width='16' height='16' rx='3' fill='{colour}'/>"
        f"<path d='{sign}' fill='none' stroke='#fff' stroke-width='2'/></svg>"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _units(text: str) -> str:
    """Text with a no-break space between each number and its unit."""
    return _UNITS.sub("\N{NO-BREAK SPACE}", text)


def _key_figures(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Key figures below the summary: label, value, note."""
    whole, cost = analysis.whole, analysis.cost
    # With a warm-up, the latencies are those that are judged.
    judged, which = (analysis.by_warm_up[-1], "warm, ") if analysis.by_warm_up else (whole, "")
    share_of_needed = f", {fmt.percent(cost.of_needed_ratio)} of needed" if fmt.known(cost.of_needed_ratio) else ""
    figures = [
        ("Requests", fmt.count(whole.scheduled), f"{fmt.count(whole.answered)} answered"),
        *(
            (f"{label} p95", distribution.percentile(stat, "p95"), f"{which}p50 {distribution.percentile(stat, 'p50')}")
            for label, stat in (("TTFT", judged.ttft), ("E2E", judged.e2e), ("ITL", judged.itl))
        ),
        (f"Output {analysis.output_unit}", fmt.rate(whole.output_tokens_per_s), "mean of the run"),
        ("Replicas", replica_span(analysis.headline) or fmt.MISSING, "lowest → peak → last"),
        ("Cost", fmt.percent(cost.of_static_ratio), f"of static peak{share_of_needed}"),
    ]
    return [(label, value, note if value != fmt.MISSING else "not measured") for label, value, note in figures]


def _no_data_reason(analysis: Analysis) -> str:
    if not analysis.timeline.t_s:
        return "Not measured, because this run has no timeline."
    if analysis.run.ratio_target is None:
        return "Not measured, because the replicas behind this endpoint are not observed."
    return "Not measured in this run."


def _legend_symbols(analysis: Analysis) -> list[tuple[str, str, str]]:
    """The symbols that this run uses: shape, colour and name."""
    used = {symbol_key(mark) for mark in analysis.marks}
    return [(s.shape, s.colour, s.name) for key, s in symbols().items() if key in used]


def _bars(analysis: Analysis) -> dict[str, object]:
    """The lag bars on one scale, in per cent of the longest."""
    bars = lags.bars(analysis)
    longest_s = max((bar.segments[-1].end_s for bar in bars), default=1.0)
    return {
        "rows": [
            {
                "name": bar.name,
                "start": bar.start,
                "lag": bar.lag,
                "segments": [
                    {
                        **asdict(segment),
                        "x": f"{segment.start_s / longest_s * 100:.3f}%",
                        "width": f"{(segment.end_s - segment.start_s) / longest_s * 100:.3f}%",
                        "middle": f"{(segment.end_s + segment.start_s) / longest_s * 50:.3f}%",
                        "text": fmt.tenths(segment.end_s - segment.start_s),
                        "wide": (segment.end_s - segment.start_s) / longest_s > 0.075,
                    }
                    for segment in bar.segments
                ],
            }
            for bar in bars
        ],
        "legend": [
            (name, colour)
            for _, name, colour in lags.SEGMENTS
            if any(segment.name == name for bar in bars for segment in bar.segments)
        ],
    }


def _dashes(panel: Panel, index: int) -> str:
    return " ".join(str(length) for length in panel.lines[index].dash)
