"""Whether the load generator, or something else on its machine, limited a run."""

from dataclasses import dataclass
from typing import Literal

GeneratorVerdict = Literal["not the bottleneck", "bottleneck", "neighbour", "late", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRequest:
    """One of the slowest requests; a value is None where it is unknown.

    Attributes:
        request_id: Its number in `requests/`.
        due_s: When it was due.
        ttft_s: Its TTFT.
        e2e_s: Its E2E.
        send_lag_s: How late it was sent.
        replica: The replica that answered it.
        outcome: Its outcome.
    """

    request_id: int
    due_s: float
    ttft_s: float | None
    e2e_s: float | None
    send_lag_s: float | None
    replica: str | None
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The load generator; a value is None where it was not recorded.

    Attributes:
        verdict: `not the bottleneck`; `bottleneck`: it was late and used a whole CPU; `neighbour`: it was late, did not
            use a whole CPU, and other processes or machines took its CPU; `late`: it was late for another reason; or
            `not known`.
        reason: Why, one sentence.
        processes: Its processes that were sampled.
        send_lag_p99_s: 99th percentile of the send lag.
        wire_wait_p99_s: 99th percentile of the time from sending a request until the kernel had taken its last byte:
            connecting, TLS, a window of flow control or a full socket.
        wire_wait_max_s: The longest.
        resent: Requests that were sent a second time, because the first server said that it had not taken them.
        loop_lag_p99_s: 99th percentile of the lateness of its event loop.
        loop_lag_max_s: The longest.
        cpu_mean_ratio: CPU time / time of its busiest process; 1 is one whole CPU.
        cpu_peak_ratio: The same in the busiest five seconds of any process.
        host_cpu_peak_ratio: Busy share of all CPUs of its machine, in the busiest five seconds.
        host_steal_peak_ratio: Share that other machines took, in the worst five seconds.
        host_cpu_pressure_peak_ratio: Share of the time in which some process waited for a CPU, in the worst five
            seconds.
        slowest: The slowest requests, by TTFT, or by E2E without token times.
    """

    verdict: GeneratorVerdict
    reason: str
    processes: int = 0
    send_lag_p99_s: float | None = None
    wire_wait_p99_s: float | None = None
    wire_wait_max_s: float | None = None
    resent: int | None = None
    loop_lag_p99_s: float | None = None
    loop_lag_max_s: float | None = None
    cpu_mean_ratio: float | None = None
    cpu_peak_ratio: float | None = None
    host_cpu_peak_ratio: float | None = None
    host_steal_peak_ratio: float | None = None
    host_cpu_pressure_peak_ratio: float | None = None
    slowest: tuple[SlowRequest, ...] = ()
