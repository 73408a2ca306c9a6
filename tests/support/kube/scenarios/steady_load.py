"""A steady load for as long as a cluster is changed; whether it is fast is not judged."""

from loadgen.locust import Constant, Prompts, Scenario, Slo, TritonUser, Uniform, Validity

steady = Scenario(
    name="steady",
    load=Constant(per_s=4, duration_s=180),
    prompts=Prompts(output_tokens=Uniform(8, 24)),
    slo=Slo(failed_ratio=0.0),
    validity=Validity(min_samples=20, send_lag_p99_s=5.0),
    settle_s=0,
)


class SteadyUser(TritonUser):
    scenario = steady
