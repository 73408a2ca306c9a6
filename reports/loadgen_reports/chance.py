"""Says where the verdict may be chance: a limit lies inside the interval of what was measured."""

from loadgen.analyze.results import Analysis
from loadgen_reports import format as fmt


def too_close(analysis: Analysis) -> str:
    """The end of the first sentence: the limits that decide it and are too close to call; empty without any.

    They decide a pass if any of them is; they decide a failure only if all limits that were missed are.
    """
    missed = [each for each in analysis.findings if each.severity == "fail" and not each.passed]
    if missed and not all(each.too_close_to_call for each in missed):
        return ""
    names = [each.title for each in analysis.findings if each.too_close_to_call]
    if not names:
        return ""
    return f"; {fmt.join_list(names)} {fmt.plural(len(names), 'is', 'are')} too close to call"
