"""Renders the reports of a group: page, Markdown, JSON and JUnit."""

from dataclasses import asdict
from xml.etree import ElementTree as ET

from loadgen.analyze.results import Group, RepeatedLimit
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import split_code
from loadgen_reports.formats import html as page
from loadgen_reports.formats import json as plain
from loadgen_reports.formats import markdown as marked
from loadgen_reports.group import text
from loadgen_reports.sentences import VERDICT, emulation

SCHEMA_VERSION = 1
"""Version of `group.json`; it changes when a field is renamed or changes its meaning."""


def html(group: Group) -> str:
    """One page that needs no network, with links to the pages of the runs."""
    style = page.page_style()
    return (
        page.environment()
        .get_template("group.html.j2")
        .render(
            group=group,
            verdict=VERDICT[group.verdict],
            summary=text.opening(group),
            emulated=emulation(group.emulated) if group.emulated else None,
            tables=[text.limits_table(group), text.figures_table(group), text.runs_table(group)],
            split_code=split_code,
            glossary={},
            style=style,
            policy=page.policy(style),
            icon=page.icon(group.verdict),
        )
    )


def markdown(group: Group) -> str:
    """Sentences and tables as GitHub Markdown."""
    verdict = VERDICT[group.verdict]
    parts = [
        f"# {marked.escape(group.scenario)}, {len(group.runs)} runs: {verdict}",
        marked.escape(" ".join(text.opening(group))).replace(verdict, f"**{verdict}**", 1),
        f"> {marked.escape(emulation(group.emulated))}" if group.emulated else "",
        marked.sections([text.limits_table(group), text.figures_table(group), text.runs_table(group)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def json(group: Group) -> str:
    """The whole result for machines, in base units; missing values are null, infinite ones the string "Infinity"."""
    return plain.text({"schema_version": SCHEMA_VERSION, **asdict(group)}) + "\n"


def junit(group: Group) -> str:
    """One JUnit test suite with a test case for each limit, which fails if a run missed it, and one for each run."""
    cases = [_limit_case(each) for each in group.limits]
    for run in group.runs:
        case = _case("loadgen.run", f"run {run.number} can be judged")
        if run.verdict == "invalid":
            message = f"the run cannot be judged: read the report in {run.run_id}"
            ET.SubElement(case, "error", {"type": "invalid", "message": fmt.clean(message)})
        cases.append(case)
    suites = ET.Element("testsuites")
    counts = {kind: str(sum(case.find(kind[:-1]) is not None for case in cases)) for kind in ("failures", "errors")}
    suite = ET.SubElement(
        suites,
        "testsuite",
        {"package": "loadgen", "id": "0", "name": fmt.clean(group.scenario), "tests": str(len(cases)), **counts},
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in {"group_id": group.group_id, "verdict": group.verdict, "target": group.target}.items():
        ET.SubElement(properties, "property", {"name": name, "value": fmt.clean(value)})
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = fmt.clean("\n".join(text.opening(group)))
    ET.SubElement(suite, "system-err")
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _limit_case(limit: RepeatedLimit) -> ET.Element:
    case = _case(f"loadgen.{limit.code.split('.')[0]}", f"{limit.code}: {limit.figure.title}")
    if not all(limit.met):
        kind = "failure" if False in limit.met else "error"
        ET.SubElement(case, kind, {"type": limit.code, "message": fmt.clean(text.limit_sentence(limit))})
    return case


def _case(classname: str, name: str) -> ET.Element:
    return ET.Element("testcase", {"classname": classname, "name": fmt.clean(name), "time": "0"})
