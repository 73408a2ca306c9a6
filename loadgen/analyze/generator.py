"""Judges whether the load generator was the bottleneck of a run, or something else on its machine."""

from dataclasses import replace

import numpy as np

from loadgen.analyze.balance.served import Served
from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.results.generator import Generator, GeneratorVerdict, SlowRequest
from loadgen.analyze.stats import quantile
from loadgen.base.display import seconds
from loadgen.dataset.names import SignalName

SLOWEST = 5
"""Requests that are listed."""
WINDOW_S = 5.0
"""Peaks are means over this time: a single second is an accident."""
MIN_SAMPLES = 20
WHOLE_CPU = 0.9
"""Python runs one thread at a time, so a process that uses this share of one CPU cannot do more."""
BUSY_HOST = 0.95
MAX_STEAL = 0.05
MAX_PRESSURE = 0.25
"""Beyond these shares, others took the CPU of the generator."""


def generator(run: Observed, by: Served) -> Generator:
    """Judge the load generator, by its samples during the load and by the send lag of the requests.

    Args:
        run: The run.
        by: The replica of each request.
    """
    lag_s = run.requests.send_lag_s[run.warm]
    lag_s = lag_s[np.isfinite(lag_s)]
    send_lag_s = quantile(lag_s, 0.99) if len(lag_s) else None
    loops = [_during(run, each).value for each in run.signals.get(SignalName.GENERATOR_LOOP_LAG_S, {}).values()]
    loop_s = np.concatenate(loops) if loops else np.empty(0)
    cpu = [_rates(_during(run, each)) for each in run.signals.get(SignalName.GENERATOR_CPU_S, {}).values()]
    counters = run.signals.get(SignalName.GENERATOR_CPU_S, {}).values()
    used = [mean for each in counters if (mean := _mean(run, each)) is not None]
    found = Generator(
        verdict="not known",
        reason="",
        processes=len(loops),
        send_lag_p99_s=send_lag_s,
        wire_wait_p99_s=run.delivery.wait_p99_s,
        wire_wait_max_s=run.delivery.wait_max_s,
        resent=run.delivery.resent,
        loop_lag_p99_s=quantile(loop_s, 0.99) if len(loop_s) else None,
        loop_lag_max_s=float(loop_s.max()) if len(loop_s) else None,
        cpu_mean_ratio=max(used, default=None),
        cpu_peak_ratio=max((peak for each in cpu if (peak := _peak(each)) is not None), default=None),
        host_cpu_peak_ratio=_host(run, SignalName.HOST_CPU_RATIO),
        host_steal_peak_ratio=_host(run, SignalName.HOST_STEAL_RATIO),
        host_cpu_pressure_peak_ratio=_host(run, SignalName.HOST_CPU_PRESSURE_RATIO),
        slowest=slowest(run, by),
    )
    return _judged(run, found, len(loop_s))


def _judged(run: Observed, found: Generator, samples: int) -> Generator:
    limit_s = run.info.validity.send_lag_p99_s
    loop = found.loop_lag_p99_s if samples >= MIN_SAMPLES else None
    verdict, reason = _verdict(found, found.send_lag_p99_s, loop, limit_s)
    return replace(found, verdict=verdict, reason=reason)


def _verdict(found: Generator, send: float | None, loop: float | None, limit_s: float) -> tuple[GeneratorVerdict, str]:
    if send is None:
        return "not known", "Whether the generator was the bottleneck is not known: no request was sent."
    late = [f"it sent 1 % of the requests more than {seconds(send)} late"] if send > limit_s else []
    if loop is not None and loop > limit_s:
        late.append(f"its event loop was more than {seconds(loop)} late in 1 % of the seconds")
    was, most = " and ".join(late), found.cpu_peak_ratio
    if not late and (loop is None or most is None):
        return "not known", (
            f"Whether the generator was the bottleneck is not known: it sent 99 % of the requests within "
            f"{seconds(send)}, but its CPU and its event loop were not recorded, or only for less than {MIN_SAMPLES} s."
        )
    if most is None:
        return "late", f"The generator was late: {was}; why is not known, because its CPU was not recorded."
    used = f"its busiest process used at most {_percent(most)} of a CPU for {WINDOW_S:g} s"
    if not late and loop is not None:
        return "not the bottleneck", (
            f"The generator was not the bottleneck: it sent 99 % of the requests within {seconds(send)}, its event "
            f"loop was at most {seconds(loop)} late in 99 % of the seconds, and {used}."
        )
    if most >= WHOLE_CPU:
        advice = "Spread the load over more processes (--processes)."
        return "bottleneck", f"The generator was the bottleneck: {was}, and {used}. {advice}"
    if others := _others(found):
        return "neighbour", (
            f"Something else on its machine was the bottleneck of the generator: {was}, while {used} and {others}. Run "
            f"it on a machine of its own."
        )
    return "late", (
        f"The generator was late: {was}, although {used} and its machine had CPU to spare. A CPU limit of its "
        f"container or a slow disk may be why."
    )


def _others(found: Generator) -> str:
    """What others did on the machine of the generator; empty if they did not take its CPU."""
    parts = (
        (found.host_steal_peak_ratio, MAX_STEAL, "other virtual machines took {} of its CPUs"),
        (found.host_cpu_pressure_peak_ratio, MAX_PRESSURE, "processes waited for a CPU in {} of the time"),
        (found.host_cpu_peak_ratio, BUSY_HOST, "all CPUs of the machine were {} busy"),
    )
    said = [text.format(_percent(value)) for value, limit, text in parts if value is not None and value > limit]
    return " and ".join(said)


def slowest(run: Observed, by: Served) -> tuple[SlowRequest, ...]:
    """The slowest sent requests, by TTFT; those without a first token by their age, which is shorter."""
    requests = run.requests
    values = requests.ttft_s if np.isfinite(requests.ttft_s).any() else requests.e2e_s
    values = np.where(np.isnan(values), requests.age_s, values)
    sent = np.flatnonzero(np.isfinite(requests.sent_s) & np.isfinite(values) & requests.due)
    rows = sent[np.argsort(-values[sent], kind="stable")[:SLOWEST]]
    return tuple(
        SlowRequest(
            request_id=int(requests.ids[row]),
            due_s=float(requests.scheduled_s[row]),
            ttft_s=_known(requests.ttft_s[row]),
            e2e_s=_known(requests.e2e_s[row]),
            send_lag_s=_known(requests.send_lag_s[row]),
            replica=by.names[by.number[row]] if by.number[row] >= 0 else None,
            outcome=str(requests.outcome[row]),
        )
        for row in rows
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _during(run: Observed, series: Series) -> Series:
    use = (series.t_s >= 0) & (series.t_s <= run.end_s)
    return Series(series.t_s[use], series.value[use])


def _rates(counter: Series) -> Series:
    """The increase of a counter per second, at each sample but the first; not below 0."""
    if len(counter.t_s) < 2:
        return Series(np.empty(0), np.empty(0))
    return Series(counter.t_s[1:], np.maximum(np.diff(counter.value) / np.diff(counter.t_s), 0.0))


def _mean(run: Observed, counter: Series) -> float | None:
    """The mean increase of a counter per second during the load; None with fewer than two samples."""
    during = _during(run, counter)
    if len(during.t_s) < 2:
        return None
    return max(float((during.value[-1] - during.value[0]) / (during.t_s[-1] - during.t_s[0])), 0.0)


def _peak(series: Series) -> float | None:
    """The highest mean over `WINDOW_S`; None without so many samples."""
    if not len(series.t_s):
        return None
    sums = np.concatenate(([0.0], np.cumsum(series.value)))
    first = np.searchsorted(series.t_s, series.t_s - WINDOW_S + 1e-6, side="left")
    last = np.arange(1, len(series.t_s) + 1)
    whole = series.t_s - series.t_s[0] >= WINDOW_S - 1.5
    if not whole.any():
        return None
    means: Floats = (sums[last] - sums[first]) / (last - first)
    return float(means[whole].max())


def _host(run: Observed, name: SignalName) -> float | None:
    peaks = [_peak(_during(run, each)) for each in run.signals.get(name, {}).values()]
    return max((peak for peak in peaks if peak is not None), default=None)


def _percent(value: float) -> str:
    return f"{value * 100:.0f} %"
