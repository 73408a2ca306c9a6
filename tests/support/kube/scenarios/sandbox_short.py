"""A short steady load on one replica, for how a run begins and ends; the number of replicas can be set."""

import os

from loadgen.locust import Constant, Local, Prompts, Scenario, TritonUser, Uniform

_replicas = int(os.environ.get("SANDBOX_SHORT_REPLICAS", "1"))

sandbox_short = Scenario(
    name="sandbox short",
    load=Constant(per_s=4, duration_s=300),
    prompts=Prompts(input_tokens=Uniform(32, 64), output_tokens=Uniform(16, 32)),
    local=Local(replicas=(_replicas, _replicas), ratio_target=1.0, startup_delay_s=1, rate_window_s=4),
)


class SandboxUser(TritonUser):
    scenario = sandbox_short
