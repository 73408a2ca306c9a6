"""A short, low load that checks whether all parts are connected."""

from loadgen.locust import Constant, Prompts, Scenario, Slo, TritonUser, Uniform, Validity

short = Scenario(
    name="short",
    load=Constant(per_s=4, duration_s=15),
    prompts=Prompts(output_tokens=Uniform(8, 24)),
    slo=Slo(ttft_p95_s=10),
    validity=Validity(min_samples=20, send_lag_p99_s=1.0, scrape_gap_s=10.0),
    settle_s=2,
)


class ShortUser(TritonUser):
    scenario = short
