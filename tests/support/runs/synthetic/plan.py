"""Defines the plans of synthetic runs."""

from dataclasses import dataclass
from typing import Literal

from loadgen.scenario.rates import Wave

LOAD_START_S = 18.25
"""Start of the load on the time axis of the run; plans and truths count from here."""
SYNC_PERIOD_S = 15.0
RATE_WINDOW_S = 10.0
SCALE_DOWN_WINDOW_S = 30.0
START_UP_S = 12.0
"""From the creation of a replica until it is ready."""
REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens in a run; times are seconds from the start of the load, None means never.

    Attributes:
        name: Scenario name.
        seed: Seed of arrivals, lengths, service times and pod names.
        target: What kind of target the run claims to drive; behind a `url` nothing but the responses is recorded.
        stream: Whether tokens are streamed; otherwise the whole answer comes at once.
        trough_per_s: Lowest rate of the wave.
        peak_per_s: Highest rate of the wave.
        period_s: Length of one wave.
        cycles: Number of waves.
        shape: Shape of a wave; a trapezoid has constant troughs and peaks.
        ramp_ratio: Share of the period that each ramp of a trapezoid takes.
        replicas: Fewest and most replicas.
        autoscaler: Whether anything changes the number of replicas.
        ratio_target: Target of the queue-to-compute ratio.
        slots: Requests that a replica computes at the same time; others wait, first come, first served.
        prefill_s: Time to the first token of a request that does not wait, besides 0.1 ms for each token of its prompt.
        step_s: Mean time between two tokens.
        observed_s: How long the fleet is observed after the last arrival.
        failing_ratio: Share of requests that the server refuses (one half) or answers without output (the other half).
        send_lag_s: Delay of every send.
        blind: Whether the recorded ratio is always 0, although the raw counters are right.
        cut_on_drain: Whether a replica that is scaled away breaks its streams.
        crash_at_s: When the first replica crashes.
        interrupt_at_s: When the tool dies: what ended later has no row.
        stop_at_s: When the operator stops the run.
        gap_s: A span in which no sample is collected.
        counters_gap_s: A span in which only Prometheus' samples are collected, and none of the raw counters.
        waits_in: Where requests wait for a slot: in Triton's queue, or inside the engine, whose wait Triton counts as
            compute.
        unreached: Whether replicas that are added get no requests: clients keep their connections to the first ones.
        clock_offset_s: By how much the clock of samples and of the events of the fleet is ahead of that of requests.
        other_model: Whether a second model of the same Triton post-processes every answer (`replica.OTHER_QUEUE_S`).
        rule: What the recording rule divides: the times of the model under test, the same with the ratio of the other
            model added, or the sums of both models.
        rule_floor: Least divisor of the rule in seconds of compute per second, as `clamp_min` makes it; 0 for none.
        rule_every_s: Time between two evaluations of the rule, a whole number of scrapes of 1 s.
        rule_from_s: Time from the readiness of a replica until its first evaluation, such as that of a discovery.
        engine_times: Whether the server reports the pod and the engine's times of each request.
        recorded: False where the tool died before it closed the first part of any table.
        error: Error that kept the load from starting.
        ttft_p95_s: Limit on TTFT p95.
    """

    name: str = "waves"
    seed: int = 1
    target: Literal["local", "cluster", "url"] = "local"
    stream: bool = True
    trough_per_s: float = 0.5
    peak_per_s: float = 8.0
    period_s: float = 150.0
    cycles: int = 2
    shape: Literal["sine", "trapezoid"] = "sine"
    ramp_ratio: float = 0.2
    replicas: tuple[int, int] = (1, 4)
    autoscaler: bool = True
    ratio_target: float = 1.0
    slots: int = 4
    prefill_s: float = 0.06
    step_s: float = 0.028
    observed_s: float = 60.0
    failing_ratio: float = 0.0
    send_lag_s: float = 0.0
    blind: bool = False
    cut_on_drain: bool = False
    crash_at_s: float | None = None
    interrupt_at_s: float | None = None
    stop_at_s: float | None = None
    gap_s: tuple[float, float] | None = None
    counters_gap_s: tuple[float, float] | None = None
    waits_in: Literal["triton", "engine"] = "triton"
    unreached: bool = False
    clock_offset_s: float = 0.0
    other_model: bool = False
    rule: Literal["own", "ratios", "sums"] = "own"
    rule_floor: float = 0.0
    rule_every_s: int = 1
    rule_from_s: float = 0.0
    engine_times: bool = False
    recorded: bool = True
    error: str | None = None
    ttft_p95_s: float = 2.0

    @property
    def load(self) -> Wave:
        """The offered rate."""
        return Wave(
            trough_per_s=self.trough_per_s,
            peak_per_s=self.peak_per_s,
            period_s=self.period_s,
            cycles=self.cycles,
            shape=self.shape,
            ramp_ratio=self.ramp_ratio,
        )


PLANS: dict[str, Plan] = {
    # One replica carries 3.3/s of the 8/s at the peak, and new ones come too late for TTFT p95 ≤ 2 s.
    "failing": Plan(),
    # Two replicas at the least and a target of 0.2: the fleet grows before requests wait for 2 s.
    "passing": Plan(name="healthy", replicas=(2, 4), ratio_target=0.2, slots=5),
    "crash": Plan(name="crash", crash_at_s=95.0),
    "interrupted": Plan(name="interrupted", interrupt_at_s=130.0),
    "stopped": Plan(name="stopped", stop_at_s=100.0),
    "stopped-at-once": Plan(name="stopped at once", stop_at_s=0.1),
    "no-autoscaler": Plan(name="no autoscaler", target="cluster", autoscaler=False, replicas=(2, 2)),
    "no-streaming": Plan(name="no streaming", stream=False, cycles=1),
    # 4 % refused and 4 % without output: more than 5 % have no first token, so TTFT p95 has no value.
    "no-first-token": Plan(name="no first token", failing_ratio=0.08),
    "blind": Plan(name="blind", blind=True),
    "gap": Plan(name="gap", gap_s=(70.0, 85.0)),
    "send-lag": Plan(name="send lag", send_lag_s=0.2),
    "cut-on-drain": Plan(name="cut on drain", trough_per_s=2.5, cut_on_drain=True),
    "cluster": Plan(name="cluster", target="cluster"),
    "url": Plan(name="url", target="url", replicas=(2, 4), ratio_target=0.2, slots=5),
    # A quarter of the usual load on replicas of one slot, so that two hours are few requests; 49 scale-ups.
    "two-hours": Plan(
        name="two hours",
        period_s=900.0,
        cycles=8,
        trough_per_s=0.125,
        peak_per_s=2.0,
        slots=1,
        replicas=(1, 3),
        ratio_target=4.0,
    ),
    "never-started": Plan(name="never started", error="no Triton answers at http://127.0.0.1:1; check --target"),
    "nothing-recorded": Plan(name="nothing recorded", target="url", recorded=False),
}

# Runs whose signal misleads; a single wave of each shows it.
ENGINE = Plan(name="engine", waits_in="engine", engine_times=True, cycles=1)
"""Requests wait inside the engine, whose wait Triton counts as compute; the engine reports its times."""
UNREACHED = Plan(name="unreached", unreached=True, cycles=1)
