"""The main job on a sandbox, as short as the sync period of the real HPA controller (15 s) allows."""

from loadgen.locust import Local, Prompts, Scenario, Slo, TritonUser, Uniform, Validity, Wave

sandbox_wave = Scenario(
    name="sandbox wave",
    load=Wave(trough_per_s=0.5, peak_per_s=8, period_s=90),
    prompts=Prompts(input_tokens=Uniform(32, 256), output_tokens=Uniform(16, 64)),
    slo=Slo(ttft_p95_s=25.0),
    validity=Validity(send_lag_p99_s=0.5),  # the machine may be busy with other tests
    local=Local(replicas=(1, 3), ratio_target=0.15, startup_delay_s=3, scale_down_window_s=15),
    settle_s=45,
)


class SandboxUser(TritonUser):
    scenario = sandbox_wave
