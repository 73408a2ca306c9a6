"""Measures what `loadgen whatif` costs for a setting: CPU time, on one core, of an hour of traffic.

uv run python tests/benchmarks/whatif_scale.py [--per-s 20] [--hours 1] [--slowdown 0.07]

The rate is a wave of ten minutes around `--per-s`; a replica computes six requests of one second at a time, and the HPA
of the charts adds and removes replicas. Each setting is simulated at all phases of the HPA, as in a sweep.
"""

import argparse
import math
import statistics
import sys
import time

import numpy as np

from loadgen.autoscale.spec import Behavior, HpaSpec, PodsMetric, Target
from loadgen.whatif.model import Load, MetricPath, Replicas
from loadgen.whatif.settings import Setup, Span, with_settings
from loadgen.whatif.sweep import PHASES, outcome

SEED = 7
CHANGES = ((), ("hpa.target=0.1",), ("hpa.target=0.4",), ("hpa.scale_down_window_s=60",), ("hpa.min_replicas=4",))


def main() -> int:
    """Simulate each setting and print its CPU time."""
    parser = argparse.ArgumentParser(description="What a setting of `loadgen whatif` costs")
    parser.add_argument("--per-s", type=float, default=20.0, help="mean rate (20)")
    parser.add_argument("--hours", type=float, default=1.0, help="length of the traffic (1)")
    parser.add_argument("--slowdown", type=float, default=0.07, help="slowdown by each further request (0.07)")
    options = parser.parse_args()
    length_s = 3600.0 * options.hours
    load = _load(options.per_s, length_s)
    target = Target(type="AverageValue", average_value_milli=200)
    setup = Setup(
        replicas=Replicas(slots=6, create_s=0.2, pending_s=2.0, loads_s=(30.0,), slowdown_ratio=options.slowdown),
        path=MetricPath(scrape_s=5.0, window_s=30.0, sync_s=15.0),
        hpa=HpaSpec(
            min_replicas=1,
            max_replicas=16,
            metrics=(PodsMetric(name="triton:queue_compute:ratio", target=target),),
            behavior=Behavior(),
        ),
    )
    span = Span(initial=4, begin_s=0.0, end_s=length_s)
    taken = []
    for changes in CHANGES:
        changed = with_settings(setup, changes)
        began = time.process_time()
        result = outcome(load, changed, span, 2.0)
        taken.append(time.process_time() - began)
        _print(
            f"{', '.join(changes) or 'as in the run':28} {taken[-1]:6.2f} s of CPU, {taken[-1] / PHASES:.2f} s a "
            f"simulation; up to {result.peak_replicas.worst:.0f} replicas"
        )
    _print(
        f"{len(load):,} requests at {options.per_s:g}/s: {statistics.median(taken):.2f} s of CPU a setting with "
        f"{PHASES} phases, {statistics.median(taken) / PHASES:.2f} s a simulation (medians)"
    )
    return 0


def _load(per_s: float, length_s: float) -> Load:
    """Poisson arrivals of a wave, by thinning, with lognormal services of one second on average."""
    random = np.random.default_rng(SEED)
    times = np.sort(random.uniform(0.0, length_s, random.poisson(1.8 * per_s * length_s)))
    rate = per_s * (1.0 + 0.8 * np.sin(2 * math.pi * times / 600.0))
    arrivals = times[random.uniform(0.0, 1.8 * per_s, len(times)) < rate]
    service_s = random.lognormal(math.log(1.0) - 0.045, 0.3, len(arrivals))
    return Load(arrival_s=arrivals, service_s=service_s, first_token_s=0.05 * service_s)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
