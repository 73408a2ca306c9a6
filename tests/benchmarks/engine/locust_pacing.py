"""How late Locust's own `constant_throughput` starts its tasks, which do nothing.

python locust_pacing.py RATE SECONDS

100 users share the rate. The error of a start is its distance from the user's own grid, which begins where it fits best
(at the earliest start relative to the grid), so that only the unevenness counts. Prints errors in milliseconds.
"""

import json
import os
import sys
import time

import gevent
import numpy as np
from locust import User, constant_throughput, task
from locust.env import Environment

USERS = 100


def main() -> None:
    """Run the users in this process."""
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])
    starts: dict[int, list[float]] = {}

    class PacedUser(User):
        host = ""
        wait_time = constant_throughput(rate / USERS)

        @task
        def begin(self) -> None:
            starts.setdefault(id(self), []).append(time.perf_counter())

    runner = Environment(user_classes=[PacedUser]).create_local_runner()
    runner.start(USERS, spawn_rate=USERS)
    while runner.user_count < USERS:
        gevent.sleep(0.01)
    starts.clear()
    gevent.sleep(seconds)
    late = [np.array(times) - np.arange(len(times)) * USERS / rate for times in starts.values() if len(times) > 1]
    errors = np.concatenate([each - each.min() for each in late]) * 1000
    p50, p99 = np.percentile(errors, [50, 99])
    print(json.dumps({"p50 ms": p50, "p99 ms": p99, "max ms": errors.max()}), flush=True)  # noqa: T201
    os._exit(0)  # the users would first wait for their next start


if __name__ == "__main__":
    main()
