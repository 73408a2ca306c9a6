"""The load of `whatif_proof.py`: two waves that outgrow one replica, with settings from the environment."""

import json
import os

from loadgen.locust import Local, Prompts, Scenario, Slo, TritonUser, Uniform, Validity, Wave

scenario = Scenario(
    name=os.environ.get("PROOF_NAME", "base"),
    load=Wave(trough_per_s=0.5, peak_per_s=8, period_s=float(os.environ.get("PROOF_WAVE_S", "65")), cycles=2),
    prompts=Prompts(input_tokens=Uniform(32, 256), output_tokens=Uniform(16, 64), unique_per="seed"),
    slo=Slo(ttft_p95_s=4.0),
    validity=Validity(send_lag_p99_s=1.0, scrape_gap_s=30.0, min_samples=20),
    request_timeout_s=60.0,
    local=Local(
        **{
            "replicas": (1, 4),
            "ratio_target": 0.15,
            "scale_down_window_s": 20,
            "startup_delay_s": 8,
            **json.loads(os.environ.get("PROOF_LOCAL", "{}")),
        }
    ),
    settle_s=5,
    reports=("json",),
)


class ProofUser(TritonUser):
    scenario = scenario
