"""A steady load on two replicas, for what goes wrong on a cluster meanwhile."""

from loadgen.locust import Constant, Local, Prompts, Scenario, TritonUser, Uniform

sandbox_steady = Scenario(
    name="sandbox steady",
    load=Constant(per_s=4, duration_s=75),
    prompts=Prompts(input_tokens=Uniform(32, 64), output_tokens=Uniform(16, 32)),
    local=Local(replicas=(2, 3), ratio_target=1.0, startup_delay_s=3),
)


class SandboxUser(TritonUser):
    scenario = sandbox_steady
