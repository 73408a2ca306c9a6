"""Which replica answered which request."""

from loadgen.analyze.balance.served import served
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import life, observed, request


def of(rows, events):
    run = observed(requests=rows, events=sorted(events, key=lambda each: each["t_s"]))
    found = served(run, fleet(run))
    return [None if number < 0 else found.names[number] for number in found.number], found.by_name


def named(number, at, pod):
    return {**request(number, at), "pod": pod}


def test_requests_name_their_replica():
    """Also one that no event is about."""
    rows = [named(0, 1.0, "a"), named(1, 2.0, "b"), named(2, 3.0, "elsewhere")]
    assert of(rows, life("a", -9, -5) + life("b", -9, -5)) == (["a", "b", "elsewhere"], True)


def test_a_name_that_is_used_again_is_that_of_the_pod_at_that_time():
    """The pod g-0 is created three times, as in a LeaderWorkerSet."""
    events = life("g-0", -9, -5, 9, 10) + life("g-0", 11, 15, 29, 30) + life("g-0", 31, 35)
    rows = [named(0, 1.0, "g-0"), named(1, 20.0, "g-0"), named(2, 40.0, "g-0")]
    assert of(rows, events) == (["g-0", "g-0 (2)", "g-0 (3)"], True)


def test_without_a_name_it_is_the_only_ready_replica():
    """b is ready from 20 to 30 s; then it is not known which of the two answered."""
    rows = [request(0, 1.0), request(1, 25.0), request(2, 40.0), request(3, 50.0, None, None, "not_sent", lag_s=None)]
    assert of(rows, life("a", -9, -5) + life("b", 15, 20, 30, 31)) == (["a", None, "a", None], False)
