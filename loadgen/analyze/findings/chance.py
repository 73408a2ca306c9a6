"""Says where the result of a limit may have been chance: another draw of the same load may be on its other side."""

from collections.abc import Sequence
from dataclasses import replace

from loadgen.analyze.results import Finding
from loadgen.analyze.results.demand import PercentileInterval


def with_chance(findings: Sequence[Finding], intervals: Sequence[PercentileInterval]) -> list[Finding]:
    """The findings, with a sentence in the advice of each limit that lies inside the interval of its percentile."""
    close = {f"slo.{each.metric}.{each.statistic}": each for each in intervals if each.close}
    return [
        replace(finding, advice=f"{finding.advice.rstrip('.')}. {_sentence(close[finding.code])}")
        if finding.code in close and finding.measured is not None
        else finding
        for finding in findings
    ]


def _sentence(each: PercentileInterval) -> str:
    decide = (
        f"about {each.repeats} runs would decide"
        if each.repeats is not None
        else "no practical number of runs would decide"
    )
    return (
        f"Too close to call: other arrivals at the same rate give a {each.statistic} of {each.low_s:.3g} to "
        f"{each.high_s:.3g} s (95 % interval); {decide}."
    )
