"""Renders `junit.xml`: one test case for each limit, so that CI shows which one was missed."""

from xml.etree import ElementTree as ET

from loadgen.analyze.results import Analysis, Finding, Span
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import finding_sentence
from loadgen_reports.sentences import opening


def render(analysis: Analysis) -> str:
    """The run as one JUnit test suite: missed SLOs are failures, and conditions that make a run invalid are errors.

    Warnings and notes are not test cases; they are in `system-out`, after the opening sentences. The document is valid
    against the schemas of Ant and Jenkins; JUnit XML has no formal standard.
    """
    run = analysis.run
    judged = [f for f in analysis.findings if f.severity in ("fail", "invalid")]
    missed = [f for f in judged if not f.passed]
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        {
            "package": "loadgen",
            "id": "0",
            "name": fmt.clean(run.scenario) or "loadgen",
            "timestamp": fmt.iso(run.started_unix_s),
            "hostname": "localhost",
            "tests": str(len(judged)),
            "failures": str(sum(f.severity == "fail" for f in missed)),
            "errors": str(sum(f.severity == "invalid" for f in missed)),
            "time": f"{run.length_s:.3f}" if fmt.known(run.length_s) else "0",
        },
    )
    properties = ET.SubElement(suite, "properties")
    values = {
        "run_id": run.run_id,
        "verdict": analysis.verdict,
        "state": run.state,
        "target": run.target,
        "model": run.model or "",
        "emulated": run.emulated or "",
    }
    for name, value in values.items():
        ET.SubElement(properties, "property", {"name": name, "value": fmt.clean(value)})
    for finding in judged:
        suite.append(_case(finding))
    lines = [*opening(analysis), *(_line(f) for f in analysis.findings if f.severity in ("warning", "info"))]
    ET.SubElement(suite, "system-out").text = fmt.clean("\n".join(lines))
    ET.SubElement(suite, "system-err")
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(finding: Finding) -> ET.Element:
    case = ET.Element(
        "testcase",
        {
            "classname": f"loadgen.{finding.code.split('.')[0]}",
            "name": fmt.clean(_name(finding)),
            "time": "0",
        },
    )
    if not finding.passed:
        element = ET.SubElement(
            case,
            "failure" if finding.severity == "fail" else "error",
            {"type": finding.code, "message": fmt.clean(finding_sentence(finding, advice=False))},
        )
        element.text = fmt.clean(finding_sentence(finding))
    return case


def _name(finding: Finding) -> str:
    """The name of a test case, with the stage but without times, so that CI can track it over runs."""
    name = f"{finding.code}: {finding.title}"
    return f"{name} ({finding.window.name})" if isinstance(finding.window, Span) else name


def _line(finding: Finding) -> str:
    return f"{finding.severity}: {finding_sentence(finding)}"
