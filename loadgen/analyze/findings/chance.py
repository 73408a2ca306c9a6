"""Says where the result of a limit may have been chance: another draw of the same load may be on its other side."""

from collections.abc import Sequence
from dataclasses import replace

from loadgen.analyze.results import Finding
from loadgen.analyze.results.demand import PercentileInterval


def with_chance(findings: Sequence[Finding], intervals: Sequence[PercentileInterval]) -> list[Finding]:
    """The findings with the intervals of their percentiles, and with advice where a limit lies inside its interval."""
    known = {f"slo.{each.metric}.{each.statistic}": each for each in intervals if each.low_s is not None}
    return [
        finding if finding.measured is None or finding.code not in known else _with(finding, known[finding.code])
        for finding in findings
    ]


def _with(finding: Finding, each: PercentileInterval) -> Finding:
    advice = f"{finding.advice.rstrip('.')}. {_sentence(each)}" if each.close else finding.advice
    return replace(finding, low=each.low_s, high=each.high_s, advice=advice)


def _sentence(each: PercentileInterval) -> str:
    decide = (
        f"about {each.repeats} runs would decide: --repeats {each.repeats}"
        if each.repeats is not None
        else "no practical number of runs would decide"
    )
    return (
        f"Too close to call: other arrivals at the same rate give a {each.statistic} of {each.low_s:.3g} to "
        f"{each.high_s:.3g} s (95 % interval); {decide}."
    )
