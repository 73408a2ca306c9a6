"""The audit of the autoscaler in sentences and tables."""

from dataclasses import replace

import pytest
from loadgen_reports import audits
from loadgen_reports.audit_text import held_phrase, metric_phrase, quantity, rule_phrase
from loadgen_reports.lag_sentences import lag_breakdown

from loadgen.analyze.results import (
    Analysis,
    Audit,
    AuditDecision,
    AuditLink,
    AuditMetric,
    AuditMismatch,
    AuditSpan,
    Rule,
)
from support.runs.synthetic import sample


def span(rule: Rule | None, before: int = 1, after: int = 1, **fields: object) -> AuditSpan:
    """One sync at 1:05."""
    return AuditSpan(from_s=65.0, to_s=65.0, syncs=1, inferred=0, before=before, after=after, rule=rule, **fields)  # type: ignore[arg-type]


NUMBERS = {"lowest": 161, "highest": 161, "target": 150, "edges": (135, 165)}


@pytest.mark.parametrize(
    ("syncs", "text"),
    [
        (span(Rule.TOLERANCE, **NUMBERS), "held by the tolerance: 161m against 165m"),
        (
            span(Rule.TOLERANCE, lowest=150, highest=161, target=150, edges=(135, 165)),
            "held by the tolerance: 150m to 161m against 165m",
        ),
        (
            span(Rule.TOLERANCE, lowest=140, highest=149, target=150, edges=(135, 165)),
            "held by the tolerance: 140m to 149m against 135m",
        ),
        (
            span(Rule.TOLERANCE, lowest=140, highest=161, target=150, edges=(135, 165)),
            "held by the tolerance: 140m to 161m between 135m and 165m",
        ),
        (
            span(Rule.TOLERANCE, lowest=82, highest=82, target=80, edges=(72, 88), unit="percent"),
            "held by the tolerance: 82 % against 88 %",
        ),
        (
            span(Rule.RATIO, 3, 3, lowest=850, highest=850, target=1000),
            "the value gives no other count: 850m against 1",
        ),
        (span(Rule.RATIO, 1, 3, lowest=3000, highest=3000, target=1000), "value over target: 3 against 1"),
        (
            span(Rule.PODS, 3, 3, lowest=3000, highest=3000, target=1000, without_metric=2),
            "held by 2 pods without a metric, counted as 0: 3 against 1",
        ),
        (
            span(Rule.PODS, 4, 3, lowest=500, highest=500, target=1000, without_metric=1),
            "reduced by 1 pod without a metric, counted as the target: 500m against 1",
        ),
        (span(Rule.DOWN_WINDOW, 3, 3, until_s=125.0), "held by the scale-down stabilization window until 2:05"),
        (span(Rule.DOWN_WINDOW, 5, 4, until_s=125.0), "limited to 4 by the scale-down stabilization window until 2:05"),
        (span(Rule.UP_WINDOW), "held by the scale-up stabilization window"),
        (span(Rule.UP_POLICY, 2, 6, policy="4 pods in 15 s"), "limited to +4 by the policy: 4 pods in 15 s"),
        (span(Rule.DOWN_POLICY, 4, 3, policy="1 pod in 60 s"), "limited to −1 by the policy: 1 pod in 60 s"),
        (span(Rule.UP_POLICY, 2, 2, policy="4 pods in 15 s"), "held by the policy: 4 pods in 15 s"),
        (span(Rule.UP_POLICY), "scale-up is disabled by selectPolicy"),
        (span(Rule.MAX, 4, 4), "at maxReplicas"),
        (span(Rule.MAX, 1, 4), "limited by maxReplicas"),
        (span(Rule.MIN), "at minReplicas"),
        (span(Rule.METRIC_UNAVAILABLE), "metric not available: no change"),
        (
            span(None, candidates=(Rule.MAX, Rule.PODS)),
            "maxReplicas or pods without a metric: the record does not tell which",
        ),
        (span(None), "not determined: the record lacks what the sync read"),
    ],
)
def test_rules_as_phrases(syncs: AuditSpan, text: str) -> None:
    """A phrase has the rule and the numbers that it compared."""
    assert rule_phrase(syncs) == text


def test_every_rule_has_a_phrase() -> None:
    """Also where it held, and in the sentence about the lag."""
    for rule in Rule:
        assert rule_phrase(span(rule))
        assert rule_phrase(span(rule, 1, 2))
        assert held_phrase(span(rule)).startswith("1 b")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(161, "milli", "161m"), (2000, "milli", "2"), (0, "milli", "0"), (-5, "milli", "−5m"), (80, "percent", "80 %")],
)
def test_quantities_as_the_hpa_shows_them(value: int, unit: str, text: str) -> None:
    """Thousandths unless the value is whole."""
    assert quantity(value, unit) == text


def test_metrics_as_phrases() -> None:
    """Value, target and proposal, or why there is none."""
    read = AuditMetric(name="pods metric load", value=3200, target=1000, unit="milli", replicas=4, rule=Rule.RATIO)
    assert metric_phrase(read) == "pods metric load: 3200m against 1 → 4"
    failed = replace(read, value=None, replicas=None, rule=None, fault="FailedGetPodsMetric")
    assert metric_phrase(failed) == "pods metric load: not available (FailedGetPodsMetric)"


def held(analysis: Analysis) -> Analysis:
    """The analysis with four syncs that held before its worst scale-up."""
    index = analysis.headline.worst_event
    assert index is not None
    event = analysis.scaling[index]
    decision = AuditDecision(
        event=index,
        sync=span(Rule.RATIO, event.before, event.after),
        metrics=(),
        steps=(),
        held=(
            replace(span(Rule.TOLERANCE, **NUMBERS), syncs=3),
            span(Rule.UP_WINDOW, until_s=125.0),
        ),
    )
    headline = replace(analysis.headline, decide_s=62.7)
    return replace(analysis, headline=headline, audit=Audit(decisions=(decision,)))


def test_the_lag_names_the_rules_that_held(failing: Analysis) -> None:
    """Four syncs held: the wait was not one for the next sync."""
    text = " ".join(lag_breakdown(held(failing)))
    assert "62.7 s until the HPA decided" in text
    assert (
        "4 HPA syncs held the scale-up: 3 by the tolerance (161m against 165m) and 1 by the scale-up stabilization "
        "window (until 2:05)." in text
    )


def test_the_wait_for_one_sync_is_named_so(failing: Analysis) -> None:
    """Without a sync that held, the decision came with the next sync."""
    run = replace(failing, headline=replace(failing.headline, decide_s=9.2), audit=Audit())
    assert "9.2 s until the next HPA sync" in lag_breakdown(run)[0]


def test_a_wait_longer_than_a_period_is_not_one_sync(failing: Analysis) -> None:
    """Even if the syncs are not known."""
    run = replace(failing, headline=replace(failing.headline, decide_s=40.0), audit=Audit())
    assert "40.0 s until the HPA decided" in lag_breakdown(run)[0]


def test_tables_of_decisions_and_syncs(failing: Analysis) -> None:
    """Decisions have their metrics, syncs their counts and how many are inferred, and differences are notes."""
    tolerance = replace(span(Rule.TOLERANCE, **NUMBERS), from_s=5.0, syncs=5, inferred=2)
    decision = held(failing).audit.decisions[0]
    mismatch = AuditMismatch(t_s=65.0, expected="3 (SucceededRescale)", recorded="2")
    audit = Audit(
        source="status",
        syncs=6,
        inferred=2,
        spans=(tolerance, decision.sync),
        decisions=(decision,),
        mismatches=(mismatch,),
        mismatch_count=1,
    )
    run = replace(failing, audit=audit)
    (row,) = audits.decisions(run).rows
    assert [cell.text for cell in row][:3] == [
        "1:05",
        f"{decision.sync.before} → {decision.sync.after}",
        "Value over target.",
    ]
    on_cluster = sample("cluster").run
    table = audits.syncs(replace(run, run=on_cluster))
    assert [(cell.text, cell.note) for cell in table.rows[0]] == [
        ("0:05", None),
        ("1:05", None),
        ("5", "2 inferred"),
        ("1", None),
        ("Held by the tolerance: 161m against 165m.", None),
    ]
    assert (
        table.notes[1]
        == "At 1:05 the algorithm gives 3 (SucceededRescale), the HPA set 2: nothing recorded explains it."
    )


def test_links_have_times_durations_and_resolutions(failing: Analysis) -> None:
    """A link that was not observed says so, with the reason as a note."""
    names = ("signal", "scrape", "rule", "adapter", "sync", "decided")
    known = {
        "signal": (20.0, None, 2.0),
        "rule": (24.0, 4.0, 1.0),
        "sync": (30.0, 6.0, 0.0),
        "decided": (45.0, 15.0, 0.0),
    }
    links = tuple(
        AuditLink(
            name=name,
            at_s=known.get(name, (None, None, None))[0],
            took_s=known.get(name, (None, None, None))[1],
            resolution_s=known.get(name, (None, None, None))[2],
            source="x",
            why_missing=None if name in known else "no scrape in between was recorded",
        )
        for name in names
    )
    decision = replace(held(failing).audit.decisions[0], links=links)
    table = audits.links(replace(failing, audit=Audit(decisions=(decision,))))
    assert [(cell.text, cell.note) for cell in table.rows[0]][1:] == [
        ("0:20", "± 2.0 s"),
        ("not observed", None),
        ("0:24", "+4.0 s ± 1.0 s"),
        ("not observed", None),
        ("0:30", "+6.0 s"),
        ("0:45", "+15.0 s"),
    ]
    assert table.notes[0] == "In Prometheus, Adapter: not observed, because no scrape in between was recorded."
