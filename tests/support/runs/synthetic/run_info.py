"""Builds the `run.json` of a synthetic run."""

from dataclasses import replace
from typing import Any, Literal

from loadgen.dataset.run_info import Autoscaler, ClusterInfo, Compression, Limit, RunInfo, Stage, ValidityLimits
from support.runs.synthetic.plan import (
    LOAD_START_S,
    RATE_WINDOW_S,
    SCALE_DOWN_WINDOW_S,
    SYNC_PERIOD_S,
    Plan,
)
from support.runs.synthetic.simulation import Truth

CLOCK = {"anchor_unix_s": 1_795_521_600.0, "anchor_monotonic_s": 5000.0}
"""2026-11-24T12:00:00Z."""
TARGETS = {"local": "local", "cluster": "kube", "url": "grpc://triton.example:8001"}
"""The setting `target` of each kind of target."""
EMULATED = "The engine is emulated: tokens come at the pace of profile demo, no GPU is involved."
COMPRESSIONS = (
    Compression(what="scale-down stabilization window", local=SCALE_DOWN_WINDOW_S, production=300.0),
    Compression(what="image pull and engine load of a new replica", local=10.0, production=180.0),
    Compression(what="scrape and rule interval", local=1.0, production=30.0),
)
CLUSTER = ClusterInfo(
    context="staging",
    namespace="serving",
    kind="Deployment",
    workload="triton",
    hpa="triton",
    service="triton",
    endpoint="ingress 10.96.0.7:80",
    balances="requests",
    lacking=("needs list on events in namespace serving: without it, image pulls are not seen",),
    assumed=("the HPA controller's interval is taken as 15 s, Kubernetes' default",),
    skew_s={"api-server": 0.31},
    skew_error_s={"api-server": 0.02},
)


def run_info(plan: Plan, truth: Truth, run_id: str) -> RunInfo:
    """The `run.json` that a real run of this plan would leave."""
    fields = {
        "run_id": run_id,
        "scenario": plan.name,
        "target": TARGETS[plan.target],
        "protocol": "grpc",
        "stream": plan.stream,
        "model": "tensorrt_llm_bls",
        "emulated": EMULATED if plan.target == "local" else None,
        "compressions": COMPRESSIONS if plan.target == "local" else (),
        "autoscaler": _autoscaler(plan) if plan.autoscaler and plan.target != "url" else None,
        "cluster": _cluster(plan) if plan.target == "cluster" else None,
        "limits": (
            Limit(metric="ttft", statistic="p95", limit=plan.ttft_p95_s),
            Limit(metric="itl", statistic="p95", limit=0.1),
            Limit(metric="failed", statistic="ratio", limit=0.01),
        ),
        "validity": ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
        "seeds": {"arrivals": plan.seed, "prompts": plan.seed + 1},
        "settings": _settings(plan),
        "versions": {"triton-loadgen": "0.1.0", "tritonserver": "2.51.0", "locust": "2.47.0", "prometheus": "3.5.0"},
    }
    return RunInfo(**CLOCK, **fields, **_progress(plan, truth))


def _progress(plan: Plan, truth: Truth) -> dict[str, Any]:
    """State, start and end of the load, and stages."""
    if plan.error is not None:
        return {"state": "starting", "error": plan.error}
    spans = plan.load.spans()
    stages = [Stage(name=s.name, start_s=LOAD_START_S + s.start_s, end_s=LOAD_START_S + s.end_s) for s in spans]
    state: Literal["loading", "stopped", "finished"] = "finished" if plan.stop_at_s is None else "stopped"
    if plan.interrupt_at_s is not None or not plan.recorded:
        state = "loading"
    return {
        "state": state,
        "load_start_s": LOAD_START_S,
        "load_end_s": None if state == "loading" else LOAD_START_S + truth.end_s,
        "stages": tuple(stages),
        "expected_rows": len(truth.requests),
    }


def _autoscaler(plan: Plan) -> Autoscaler:
    return Autoscaler(
        metric="triton:queue_compute:ratio",
        target=plan.ratio_target,
        min_replicas=plan.replicas[0],
        max_replicas=plan.replicas[1],
        sync_period_s=SYNC_PERIOD_S,
        rate_window_s=RATE_WINDOW_S,
        scrape_interval_s=float(plan.rule_every_s),
        scale_down_window_s=SCALE_DOWN_WINDOW_S,
    )


def _cluster(plan: Plan) -> ClusterInfo:
    if not plan.autoscaler:
        return replace(CLUSTER, hpa=None, assumed=())
    target = {"type": "AverageValue", "averageValue": f"{plan.ratio_target * 1000:.0f}m"}
    manifest = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "triton", "namespace": "serving"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "triton"},
            "minReplicas": plan.replicas[0],
            "maxReplicas": plan.replicas[1],
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": "triton:queue_compute:ratio"}, "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": int(SCALE_DOWN_WINDOW_S)}},
        },
    }
    return replace(CLUSTER, hpa_manifest=manifest)


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "target": TARGETS[plan.target],
        "load": plan.load.model_dump(),
        "prompts": {"input_tokens": {"kind": "uniform", "low": 32, "high": 256}, "file": None},
        "slo": {"ttft_p95_s": plan.ttft_p95_s, "itl_p95_s": 0.1, "failed_ratio": 0.01},
        "stream": plan.stream,
    }
