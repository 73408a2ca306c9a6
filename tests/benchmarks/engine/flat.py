"""A locustfile: a constant rate of requests of one size, set by environment variables."""

import os

from loadgen.locust import Constant, Fixed, Prompts, Scenario, TritonUser

flat = Scenario(
    name="flat",
    load=Constant(per_s=float(os.environ["BENCH_RATE"]), duration_s=float(os.environ["BENCH_SECONDS"])),
    arrivals=os.environ["BENCH_ARRIVALS"],
    prompts=Prompts(input_tokens=Fixed(32), output_tokens=Fixed(int(os.environ["BENCH_TOKENS"]))),
    settle_s=0,
)


class FlatUser(TritonUser):
    scenario = flat
