"""A scenario against the reference server: prompts are scripts that say what the server does with each."""

import os
from pathlib import Path

from locust import tag

from loadgen.locust import Constant, Prompts, Scenario, Slo, TritonUser, Validity

scenario = Scenario(
    name="contract",
    load=Constant(per_s=float(os.environ.get("TEST_PER_S", "40")), duration_s=float(os.environ.get("TEST_S", "3"))),
    arrivals="even",
    prompts=Prompts(file=Path(os.environ["TEST_PROMPTS"])),
    slo=Slo(ttft_p95_s=float(os.environ.get("TEST_TTFT_S", "1.5")), failed_ratio=0.01),
    validity=Validity(send_lag_p99_s=2.0, min_samples=10),
    request_timeout_s=5,
)


@tag("one")
class OneUser(TritonUser):
    scenario = scenario


@tag("two")
class TwoUser(TritonUser):
    scenario = scenario
