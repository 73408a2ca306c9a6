"""Describes the warm-up of a run: what was left out of the verdict, and what its latencies propose."""

from loadgen.analyze.results import Analysis, WarmUp
from loadgen_reports import format as fmt


def warm_up_sentences(analysis: Analysis) -> list[str]:
    """The requests that were not judged, and the proposal where it differs from the setting."""
    found = analysis.warm_up
    return [] if found is None else [*_left_out(analysis, found), *_proposed(found)]


def _left_out(analysis: Analysis, found: WarmUp) -> list[str]:
    if not found.setting_s:
        return []
    number, total = fmt.count(found.cold_requests), fmt.count(analysis.whole.scheduled)
    verb = "was" if found.cold_requests == 1 else "were"
    return [
        f"{number} of {total} {fmt.plural(analysis.whole.scheduled, 'request')} {verb} due in the warm-up of "
        f"{fmt.rounded_duration(found.setting_s)} and {verb} not judged."
    ]


def _proposed(found: WarmUp) -> list[str]:
    if found.proposal_s is None or fmt.rounded_duration(found.proposal_s) == fmt.rounded_duration(found.setting_s):
        return []
    setting = f"the setting warm_up_s is {found.setting_s:g}" if found.setting_s else "no warm_up_s is set"
    if not found.proposal_s:
        return [f"Latency shows no warm-up, by MSER-5; {setting}."] if found.setting_s else []
    metric = (found.metric or "").upper()
    return [
        f"Latency was steady from {fmt.tenths(found.proposal_s)} on, by MSER-5 (mean {metric} "
        f"{fmt.seconds(found.mean_before_s)} before, {fmt.seconds(found.mean_after_s)} after); {setting}."
    ]
