"""A constant load for tests of the start and end of runs; replicas and start-up delay come from the environment."""

import os

from loadgen.locust import Constant, Local, Prompts, Scenario, TritonUser, Uniform

_replicas = int(os.environ.get("SANDBOX_SHORT_REPLICAS", "1"))
_startup_delay_s = float(os.environ.get("SANDBOX_SHORT_STARTUP_DELAY_S", "1"))

sandbox_short = Scenario(
    name="sandbox short",
    load=Constant(per_s=4, duration_s=300),
    prompts=Prompts(input_tokens=Uniform(32, 64), output_tokens=Uniform(16, 32)),
    local=Local(replicas=(_replicas, _replicas), ratio_target=1.0, startup_delay_s=_startup_delay_s, rate_window_s=4),
)


class SandboxUser(TritonUser):
    scenario = sandbox_short
