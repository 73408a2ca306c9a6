"""The links of a scale-up and a scale-down whose times are all known, on a cluster and on the local stack.

100 s    8/s for one replica of 5/s          107 s  the ratio is over its target (sampled every second)
120 s    a sync decides 1 → 2 (syncs every 15 s: one at 105 s and none between)
121 s    created      122 s  scheduled       123 s  pulling      127 s  pulled      128 s  containers run
134 s    the first scrape succeeds           136 s  ready        137 s  its first answer is counted
"""

from functools import cache

import numpy as np
import pytest
from loadgen_reports.chains import chain_tables, fix_sentence
from loadgen_reports.formats import html, json, markdown

from loadgen.analyze.demand.backlog import backlog
from loadgen.dataset.run_info import ClusterInfo
from loadgen.scenario.rates import Step
from support.runs.queue import ALWAYS, SERVICE_S, even, event, places, queue_run, ratio_over, rescale, starts
from support.runs.tables import series

STEP = Step(levels_per_s=(3.0, 8.0, 2.0), hold_s=100.0)
LIVES = [ALWAYS, (136.0, 260.0)]
CLUSTER = ClusterInfo(
    kind="Deployment", workload="triton", namespace="serving", context="test", endpoint="ingress", balances="requests"
)


def pod_event(t_s, reason, message):
    return event(t_s, "pod_event", "p1") | {"reason": reason, "message": message}


STARTUP = [
    event(121.0, "replica_created", "p1"),
    event(122.0, "replica_scheduled", "p1"),
    pod_event(122.0, "Scheduled", "Successfully assigned serving/p1 to node-b"),
    pod_event(123.0, "Pulling", 'Pulling image "triton"'),
    pod_event(127.0, "Pulled", 'Successfully pulled image "triton" in 4s'),
    event(128.0, "replica_started", "p1"),
]


@cache
def run(cluster=True, *, pulled=True, scraped=True, limit=2.0, named=False):
    start = [each for each in STARTUP if pulled or each["kind"] != "pod_event"]
    up = series("up", "p1", {float(t): float(t >= 134) for t in range(129, 160)}) if scraped else []
    syncs = [event(float(t), "hpa_sync", current=1, desired=1) for t in (90, 105, 120)]
    return queue_run(
        STEP,
        LIVES,
        300.0,
        limits=[("ttft", "p95", limit)],
        events=[rescale(120, 1, 2), rescale(259, 2, 1), *syncs],
        start_up={"p1": start},
        named=named,
        samples=[*ratio_over(107.0, 205.0, 300.0), *up],
        **({"cluster": CLUSTER, "target": "kube"} if cluster else {}),
    )


def links(made, number=0):
    return {link.name: link for link in made.chains[number].links}


def test_every_link_of_the_scale_up_has_its_time():
    """The times above; the links that nothing recorded say so."""
    found = links(run())
    known = {name: link.at_s for name, link in found.items() if link.at_s is not None}
    expected = {
        "load": 100.0, "rule": 107.0, "sync": 120.0, "decided": 120.0, "created": 121.0, "scheduled": 122.0,
        "image": 127.0, "started": 128.0, "engine": 134.0, "ready": 136.0, "first_request": 137.0,
    }  # fmt: skip
    assert {name: at for name, at in known.items() if name in expected} == pytest.approx(expected)
    for name in ("signal", "scrape", "adapter", "routed"):
        assert found[name].at_s is None
        assert found[name].why_missing
    assert (found["sync"].took_s, found["sync"].kind) == (13.0, "phase")
    assert (found["image"].took_s, found["engine"].took_s, found["engine"].resolution_s) == (5.0, 6.0, 1.0)
    assert (found["image"].since_source, found["image"].source) == ("replica_scheduled", "pod_event Pulled")
    assert (found["rule"].took_s, found["rule"].since_source) == (pytest.approx(7.0), "plan")


def test_the_links_add_up_to_the_lag():
    """From the load step to the first answer nothing is lost and nothing counts twice, observed or not."""
    for made in (run(), run(pulled=False, scraped=False), run(cluster=False)):
        found = list(links(made).values())
        until = [link.name for link in found].index("first_request") + 1
        took = sum(link.took_s for link in found[:until] if link.took_s is not None)
        assert took == pytest.approx(made.scaling[0].lag_s) == pytest.approx(37.0)


def test_answers_that_name_their_replica_show_when_requests_reached_it():
    """Requests come in groups of four, in turn: the first one to the second replica after 136 s, the last before 260 s.

    Each of two replicas gets every other request at once, so the share is fair from its first answer on.
    """
    due = even(STEP, 300.0)
    own = [at for at, place in zip(due, places(due, LIVES), strict=True) if place == 1]
    made = run(named=True)
    found = links(made)
    assert found["routed"].at_s == pytest.approx(min(own))
    assert found["routed"].resolution_s == pytest.approx(min(own) - 136.0)
    assert (found["fair_share"].source, found["fair_share"].at_s) == ("requests.pod", pytest.approx(137.0, abs=1.0))
    down = links(made, 1)
    assert down["unrouted"].at_s == pytest.approx(max(own))
    assert down["last_request"].at_s >= max(own) + SERVICE_S


def test_the_start_of_each_replica_is_split():
    """Pull 4 s on a cold node, load 6 s, probe 2 s; without pulls and scrapes the durations are not observed."""
    (pod,) = run().chains[0].pods
    assert (pod.pod, pod.node, pod.warm_node) == ("p1", "node-b", False)
    assert (pod.pull_s, pod.load_s, pod.probe_s) == (4.0, 6.0, 2.0)
    (pod,) = run(pulled=False, scraped=False).chains[0].pods
    assert (pod.node, pod.warm_node, pod.pull_s, pod.load_s, pod.probe_s) == (None, None, None, None, None)
    assert pod.why_missing == (
        "pull: no image pull was recorded; "
        "load, probe: no scrape succeeded before it was ready, so they are not told apart"
    )


def test_the_link_to_fix_first_is_the_longest_that_can_be_changed():
    """7 s until the rule (settings), 13 s phase of the HPA (chance), 6 s engine: it is the signal, and not the phase.

    Without the pull and the scrape, 8 s from the start of the containers until ready are the longest.
    """
    made = run()
    assert (made.fix_first.link, made.fix_first.total_s) == ("rule", pytest.approx(7.0))
    assert (made.fix_first.merged, made.fix_first.of_total_s) == (("signal", "scrape"), pytest.approx(37.0))
    merged = run(pulled=False, scraped=False)
    assert (merged.fix_first.link, merged.fix_first.merged) == ("ready", ("engine",))
    assert merged.fix_first.total_s == 8.0


def test_the_backlog_is_gone_when_the_departures_meet():
    """Newell's curves of a queue of a few lines: 36 s · 3/s = 108 requests behind, and 2/s faster than they come."""
    due = even(STEP, 300.0)
    late = np.array(starts(due, LIVES))
    ideal = np.array(starts(due, [ALWAYS, (100.0, float("inf"))]))
    departed = sorted(late + SERVICE_S)
    on_time = sorted(ideal + SERVICE_S)

    def behind(t):
        return sum(at <= t for at in on_time) - sum(at <= t for at in departed)

    expected = next(at for at in departed if at > 137.0 and behind(at) <= 2)
    found = backlog(late, ideal, np.full(len(due), SERVICE_S)).gone_s(137.0, 2)
    assert found == pytest.approx(expected)
    assert links(run())["backlog"].at_s == pytest.approx(expected, abs=1.0)
    assert behind(137.0) > 50


def test_every_link_of_the_scale_down_has_its_time():
    """The load falls at 200 s, the ratio at 205 s; decided at 259 s, terminating and terminated at 260 s."""
    found = links(run(), 1)
    assert found["load"].at_s == pytest.approx(200.0)
    times = {name: found[name].at_s for name in ("rule", "decided", "terminating", "terminated")}
    assert times == {"rule": 205.0, "decided": 259.0, "terminating": 260.0, "terminated": 260.0}
    assert found["unrouted"].why_missing == "the answers do not name their replica"
    assert run().chains[1].pods == ()


def test_the_chain_is_on_the_page_in_markdown_and_in_json():
    """Every report has the links of both events, and one sentence with the link to fix first."""
    made = run()
    sentence = fix_sentence(made)
    assert sentence.startswith("Fix first: the recording rule (7.0 s of 37.0 s in one scale-up), with ")
    page, text = html.render(made).replace("\N{NO-BREAK SPACE}", " "), markdown.render(made)
    for report in (page, text):
        assert "Fix first: the recording rule" in report
        assert "Engine answers" in report
        assert "Last request answered" in report
        assert "not observed" in report
        assert "node-b" in report
    assert '"fix_first"' in json.render(made)
    assert [table.key for table in chain_tables(made)] == ["chain-up", "chain-down", "pod-starts"]
