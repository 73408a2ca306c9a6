"""What limited a replica, from the gauges of its engine and of Triton's queue."""

import numpy as np
import pytest

from loadgen.analyze.observed import Series
from loadgen.analyze.queueing import mean_over_pods, stale_s
from loadgen.analyze.signal.engine import engine_use, unseen_waiting, waiting_spans
from support.runs.tables import info, observed, request, series

REQUESTS = [request(n, float(n)) for n in range(60)]


def gauge(signal, value, pod="a", start=0, end=60):
    """A sample a second; `value` is a number or a function of the time."""
    return series(signal, pod, {float(t): float(value(t) if callable(value) else value) for t in range(start, end)})


def use(*samples, **changes):
    run = observed(info(**changes), requests=REQUESTS, samples=[row for rows in samples for row in rows])
    return engine_use(run)


def wait(t):
    return 30.0 if 10 <= t < 40 else 0.0


def test_a_full_batch_is_the_bottleneck():
    """360 requests wait for 30 s while 8 are executed, the most ever, and half of the KV cache is free."""
    waiting = gauge("engine_waiting", lambda t: 12 * wait(t))
    active = gauge("engine_active", lambda t: 8 if 10 <= t < 40 else 2)
    fleet, one = use(waiting, active, gauge("kv_used_ratio", 0.5))
    assert (one.replica, one.bottleneck) == ("a", "batch")
    assert (one.waiting_peak, one.active_peak, one.kv_peak) == (360.0, 8.0, 0.5)
    assert (one.waiting_ratio, one.full_ratio, one.kv_full_ratio) == (0.5, 0.5, 0.0)
    assert (fleet.replica, fleet.bottleneck, fleet.waiting_peak) == (None, "batch", 360.0)


def test_a_full_kv_cache_is_the_bottleneck():
    """The batch has a limit, too, but the requests wait for blocks: how many are executed varies."""
    waiting, active = gauge("engine_waiting", wait), gauge("engine_active", lambda t: 4 + t % 3)
    kv = gauge("kv_used_ratio", lambda t: 0.97 if 10 <= t < 40 else 0.3)
    one = use(waiting, active, kv)[1]
    assert (one.bottleneck, one.kv_full_ratio) == ("kv_cache", 0.5)


def test_neither_full_is_compute():
    """Requests wait although the batch varies and the KV cache has room: prefill takes the time."""
    active = gauge("engine_active", lambda t: 3 + 5 * (t % 4 == 0))
    one = use(gauge("engine_waiting", wait), active, gauge("kv_used_ratio", 0.4))[1]
    assert one.bottleneck == "compute"


def test_a_queue_in_triton_alone_is_told_from_the_engine():
    """Triton's instances are all in use, and nothing waits behind them."""
    one = use(gauge("engine_waiting", 0), gauge("engine_active", 4), gauge("raw_pending", wait))[1]
    assert (one.bottleneck, one.queued_peak, one.queued_ratio) == ("triton_queue", 30.0, 0.5)


def test_active_requests_may_include_those_that_wait():
    """TensorRT-LLM's C++ executor: active − waiting is the batch, 8, and stays the same while both rise."""
    waiting = gauge("engine_waiting", lambda t: max(t - 10.0, 0.0))
    active = gauge("engine_active", lambda t: 8 + max(t - 10.0, 0.0))
    one = use(waiting, active, gauge("kv_used_ratio", 0.5))[1]
    assert (one.bottleneck, one.active_peak) == ("batch", 8.0)


def test_a_short_wait_is_no_bottleneck():
    """9 s in a row, twice."""
    one = use(gauge("engine_waiting", lambda t: 5.0 * (10 <= t < 19 or 30 <= t < 39)), gauge("engine_active", 8))[1]
    assert one.bottleneck is None
    assert one.waiting_peak == 5.0


def test_gauges_that_were_not_collected_are_missing():
    """Nothing at all gives nothing; without the engine's gauges, Triton's queue alone is known."""
    assert use() == ()
    one = use(gauge("raw_pending", 0))[1]
    assert (one.waiting_peak, one.waiting_ratio, one.kv_peak, one.bottleneck) == (None, None, None, None)
    assert "not collected" in one.reason


def test_the_waits_of_all_replicas_add_up():
    """a has 3 and b has 4 waiting requests; the bottleneck is that of the replica that waits longest, b."""
    samples = gauge("engine_waiting", lambda t: 3 * (t < 20), "a") + gauge("engine_waiting", 4, "b")
    samples += gauge("engine_active", 8, "a") + gauge("engine_active", 6, "b")
    fleet = use(samples)[0]
    assert (fleet.waiting_peak, fleet.active_peak) == (7.0, 14.0)
    assert fleet.reason.startswith("b: ")


@pytest.mark.parametrize(("highest", "unseen"), [(0.3, True), (1.05, True), (1.2, False)])
def test_a_wait_is_unseen_if_the_ratio_stays_below_its_target(highest, unseen):
    """The target is 1 with a tolerance of 10 %; 30 requests wait from 10 to 40 s."""
    samples = gauge("engine_waiting", wait) + gauge("ratio", lambda t: highest if t == 30 else 0.1)
    run = observed(requests=REQUESTS, samples=samples)
    ratio = mean_over_pods(run.signals["ratio"], stale_s(run))
    assert unseen_waiting(run, ratio) == (((10.0, 40.0), 30) if unseen else None)


def test_waits_with_short_pauses_are_one():
    """Two waits of 10 s with 4 s between them, and one 20 s later."""
    flags = {*range(5, 15), *range(19, 29), *range(50, 55)}
    run = observed(requests=REQUESTS, samples=gauge("engine_waiting", lambda t: 2.0 * (t in flags)))
    assert [span for span, _ in waiting_spans(run)] == [(5.0, 29.0), (50.0, 55.0)]
    assert unseen_waiting(run, Series(np.empty(0), np.empty(0))) == ((5.0, 29.0), 2)
