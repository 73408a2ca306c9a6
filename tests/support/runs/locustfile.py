"""A scenario against the reference server: prompts are scripts that say what the server does with each.

The default limits are so wide that a busy machine meets them; tests of a limit set their own.
"""

import os
from pathlib import Path

from locust import tag

from loadgen.locust import Constant, Prompts, Scenario, Slo, TritonUser, Validity

scenario = Scenario(
    name="contract",
    load=Constant(per_s=float(os.environ.get("TEST_PER_S", "10")), duration_s=float(os.environ.get("TEST_S", "3"))),
    arrivals="even",
    prompts=Prompts(file=Path(os.environ["TEST_PROMPTS"])),
    slo=Slo(ttft_p95_s=float(os.environ.get("TEST_TTFT_S", "60")), failed_ratio=0.01),
    validity=Validity(send_lag_p99_s=float(os.environ.get("TEST_LAG_S", "60")), min_samples=1),
    request_timeout_s=float(os.environ.get("TEST_TIMEOUT_S", "30")),
)


@tag("one")
class OneUser(TritonUser):
    scenario = scenario


@tag("two")
class TwoUser(TritonUser):
    scenario = scenario
