"""The main job in a minute: one short wave, and an autoscaler in as much of a hurry."""

from loadgen.locust import Local, Prompts, Scenario, Slo, TritonUser, Uniform, Validity, Wave

short_wave = Scenario(
    name="short wave",
    load=Wave(trough_per_s=0.5, peak_per_s=8, period_s=40),
    prompts=Prompts(input_tokens=Uniform(32, 256), output_tokens=Uniform(16, 64)),
    slo=Slo(ttft_p95_s=25.0, itl_p95_s=2.0),
    validity=Validity(send_lag_p99_s=10.0, scrape_gap_s=30.0),  # how busy this machine is decides nothing here
    local=Local(
        replicas=(1, 3),
        ratio_target=0.2,
        startup_delay_s=1,
        sync_period_s=3,
        rate_window_s=5,
        scale_down_window_s=5,
    ),
    settle_s=12,
)


class ShortWaveUser(TritonUser):
    scenario = short_wave
