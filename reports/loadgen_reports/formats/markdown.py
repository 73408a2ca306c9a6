"""Renders `report.md`: sentences and tables as GitHub Markdown, short enough for a comment by a CI job."""

import re
from collections.abc import Iterable

from loadgen.analyze.results import Analysis
from loadgen_reports import audits, costs, demand, generators, lags, provenance, signal_tables, spread, tables
from loadgen_reports import format as fmt
from loadgen_reports.attainment import attainment_table
from loadgen_reports.chains import MOST_IN_MARKDOWN, chain_tables, fix_sentence
from loadgen_reports.failures import failure_table
from loadgen_reports.finding_text import SYMBOL, finding_sentence, split_code
from loadgen_reports.in_time import in_time_line, lag_parts
from loadgen_reports.sentences import VERDICT, emulation, listed_findings, opening, signal_sentence
from loadgen_reports.tables import Cell, Table

MAX_CHARACTERS = 60_000
"""GitHub refuses comments of more than 65,536 characters."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#@])")
_STARTS_BLOCK = re.compile(r"^(\d*)([-+=.)])(?=\s|$)")


def render(analysis: Analysis) -> str:
    """The run as Markdown: verdict and findings in sentences, then the tables that explain them."""
    run = analysis.run
    summary = " ".join(opening(analysis))
    verdict = VERDICT[analysis.verdict]
    in_time = in_time_line(analysis)
    autoscaler, signal = provenance.autoscaler(analysis), signal_sentence(analysis)
    parts = [
        f"# {escape(run.scenario)}: {verdict}",
        f"**{escape(in_time)}**" if in_time else "",
        escape(summary).replace(verdict, f"**{verdict}**", 1),
        "\n".join(f"- {SYMBOL[f.severity]} {prose(finding_sentence(f))}" for f in listed_findings(analysis)),
        prose(autoscaler) if autoscaler else "",
        prose(signal) if signal else "",
        prose(fix) if (fix := fix_sentence(analysis)) else "",
        f"> {escape(emulation(run.emulated))}" if run.emulated else "",
        _section(provenance.compressed(analysis)),
        _section(provenance.cluster(analysis)),
        *(_measured(analysis) if run.state != "never_started" else ()),
        _run_section(analysis),
    ]
    return _truncated([part for part in parts if part])


def _measured(analysis: Analysis) -> list[str]:
    return [
        _section(lags.scale_ups(analysis)),
        _section(lags.scale_downs(analysis)),
        _section(lag_parts(analysis)),
        _section(demand.level_lags(analysis)),
        _section(audits.decisions(analysis)),
        _section(audits.links(analysis)),
        *(_section(table) for table in chain_tables(analysis, MOST_IN_MARKDOWN)),
        _section(tables.findings(analysis)),
        _section(attainment_table(analysis)),
        _section(tables.requests(analysis)),
        *(_section(table) for table in tables.latencies(analysis)),
        _section(spread.ages(analysis)),
        _section(spread.replicas(analysis)),
        _section(generators.slowest(analysis)),
        _section(generators.generator(analysis)),
        _section(generators.nodes(analysis)),
        _section(tables.outcomes(analysis)),
        _section(failure_table(analysis)),
        _section(signal_tables.signals(analysis)),
        _section(signal_tables.causes(analysis)),
        _section(signal_tables.engine(analysis)),
        _section(tables.correlations(analysis)),
        _section(demand.summary(analysis)),
        _section(tables.cost(analysis)),
        _section(costs.fleets(analysis)),
        _section(costs.units(analysis)),
    ]


def escape(text: str) -> str:
    """Escape text for Markdown and put it on one line, so that it contains no markup, links or mentions."""
    line = " ".join(fmt.clean(text).split())
    return _STARTS_BLOCK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", line))


def prose(text: str) -> str:
    """Escape a sentence for Markdown, and set text between backquotes as code."""
    line = " ".join(text.split())
    return "".join(
        code(piece) if is_code else _SPECIAL.sub(r"\\\1", fmt.clean(piece)) for piece, is_code in split_code(line)
    )


def code(text: str) -> str:
    """Text as a code span."""
    line = " ".join(fmt.clean(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""


def sections(tables: Iterable[Table]) -> str:
    """Tables with their headings and notes; those without rows are left out."""
    return "\n\n".join(text for text in map(_section, tables) if text)


def _section(table: Table) -> str:
    if not table.rows:
        return ""
    heads = [escape(column.label) for column in table.columns]
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    rows = [_line(heads), _line(rules), *(_line(_cell(cell) for cell in row) for row in table.rows)]
    notes = [f"- {escape(note)}" for note in table.notes]
    return "\n".join([f"## {escape(table.title)}", "", *rows, *(["", *notes] if notes else [])])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = code(cell.text) if cell.literal else prose(cell.text)
    if cell.style in ("fail", "invalid", "over"):
        text = f"**{text}**"
    return f"{text} ({escape(cell.note)})" if cell.note else text


def _run_section(analysis: Analysis) -> str:
    run = analysis.run
    facts = [
        f"Run {code(run.run_id)}, {fmt.utc(run.started_unix_s)}, target {code(run.target)}"
        + (f", model {code(run.model)}" if run.model else "")
        + f", {'streaming' if run.stream else 'no streaming'} over {escape(run.protocol)}.",
        f"To write the reports again: {code(f'loadgen report runs/{run.run_id}')}.",
    ]
    if repeated := provenance.repeated_prompts(analysis):
        facts.append(escape(repeated))
    if run.seeds:
        facts.append("Seeds: " + fmt.join_list(f"{code(name)} {value}" for name, value in run.seeds.items()) + ".")
    if run.versions:
        facts.append(
            "Versions: " + fmt.join_list(code(f"{name} {value}") for name, value in run.versions.items()) + "."
        )
    return "\n".join(["## Run", "", *(f"- {fact}" for fact in facts)])


def _truncated(parts: list[str]) -> str:
    """The parts that fit a comment, in order, and a note if others were omitted."""
    included: list[str] = []
    size = 0
    for part in parts:
        size += len(part) + 2
        if size > MAX_CHARACTERS:
            included.append("The rest does not fit into a comment: see report.html.")
            break
        included.append(part)
    return "\n\n".join(included) + "\n"
