"""Two peak/off-peak waves of streaming inference against a fleet that scales on the queue-to-compute ratio.

locust -f scenarios/waves.py --headless
locust -f scenarios/waves.py --headless --target http://my-triton:8000
"""

from loadgen.locust import Local, Prompts, Scenario, Slo, TritonUser, Uniform, Wave

waves = Scenario(
    name="waves",
    load=Wave(trough_per_s=0.5, peak_per_s=7, period_s=150, cycles=2),
    prompts=Prompts(input_tokens=Uniform(32, 256), output_tokens=Uniform(16, 64)),
    slo=Slo(ttft_p50_s=0.5, ttft_p95_s=8.0, itl_p95_s=0.1),
    local=Local(profile="demo", replicas=(1, 4), ratio_target=0.15, scale_down_window_s=45),
    settle_s=10,
)


class WaveUser(TritonUser):
    scenario = waves
