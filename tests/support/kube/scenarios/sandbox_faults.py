"""A peak that two replicas can serve, for tests that break parts of a cluster."""

from loadgen.locust import Local, Prompts, Scenario, TritonUser, Uniform, Validity, Wave

sandbox_faults = Scenario(
    name="sandbox faults",
    load=Wave(trough_per_s=1, peak_per_s=4, period_s=120, shape="trapezoid"),
    prompts=Prompts(input_tokens=Uniform(32, 64), output_tokens=Uniform(16, 32)),
    validity=Validity(send_lag_p99_s=0.5),  # the machine may be busy with other tests
    local=Local(replicas=(2, 3), ratio_target=1.0, startup_delay_s=3),
)


class SandboxUser(TritonUser):
    scenario = sandbox_faults
