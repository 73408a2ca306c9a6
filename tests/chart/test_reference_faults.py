"""Seven faults of the reference chart, NVIDIA's *TensorRT-LLM Autoscaling and Load Balancing*: each shown to be absent.

What can be seen in the manifests is looked at there, for every set of values that has a golden file; what an expression
makes of a series is asked of a real Prometheus. What only a running release shows is named where it is shown.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.quantity import parse_quantity
from loadgen.lint.lint import lint
from loadgen.lint.objects import read_objects
from support.charts.cases import TRITON_CASES as CASES
from support.charts.helm import objects
from support.charts.past_series import Line, panel, past

of_each_case = pytest.mark.parametrize("name", CASES)


@functools.cache
def manifests(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    return objects(CASES[name])


def pods(name: str) -> Iterator[dict[str, Any]]:
    """The specs of all pods of a release: serving, working, building."""
    for (kind, _), each in manifests(name).items():
        if kind in ("Deployment", "Job"):
            yield each["spec"]["template"]["spec"]
        elif kind == "LeaderWorkerSet":
            both = each["spec"]["leaderWorkerTemplate"]
            yield from (both["leaderTemplate"]["spec"], both["workerTemplate"]["spec"])


def servers(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pods that serve, and the container that does."""
    found = [(pod, each) for pod in pods(name) for each in pod["containers"] if each["name"] == "server"]
    assert found
    return found


@of_each_case
def test_1_loading_is_not_taken_for_death(name: str) -> None:
    """The reference kills a server that loads for more than 40 s. Here a startup probe gives it its whole budget, and
    holds the liveness probe back for as long; `test_a_load_of_three_minutes_is_not_killed` runs one."""
    for _, server in servers(name):
        startup = server["startupProbe"]
        budget_s = CASES[name].get("server", {}).get("loadBudgetSeconds", 1800)
        assert startup["periodSeconds"] * startup["failureThreshold"] >= budget_s
        assert server["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "http"}


@of_each_case
def test_2_no_container_reserves_what_it_does_not_use(name: str) -> None:
    """The reference's init container holds all GPUs and 96 GiB of disk to print a line. Here one asks for a GPU only to
    build an engine, and none for more than a quarter of a GiB of disk."""
    for pod in pods(name):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            requests = container["resources"].get("requests", {})
            disk = requests.get("ephemeral-storage", "0")
            assert parse_quantity(disk) <= parse_quantity("256Mi")
            limited = "ephemeral-storage" in container["resources"].get("limits", {})
            assert not limited or "ephemeral-storage" in requests  # a limit alone is a request of the same size
        for init in pod.get("initContainers", []):
            builds = "/opt/chart/build.py" in init["command"]
            gpus = {what for side in init["resources"].values() for what in side if what.startswith("nvidia.com/")}
            assert builds or not gpus


def test_3_nothing_is_named_for_one_cluster() -> None:
    """The reference fixes the name of the claim, the namespace and `release: prometheus`, and leaves rule and dashboard
    to be applied by hand. Here two releases share no name, and everything is in the chart."""
    both = [
        objects(CASES["llama-3.1-8b-h100"], release=release, namespace=namespace)
        for release, namespace in (("one", "first"), ("two", "second"))
    ]
    names = [{name for _, name in each} for each in both]
    assert names[0] & names[1] == set()
    assert ("PersistentVolumeClaim", "one-triton-trtllm-models") in both[0]
    for each in both:
        assert {"PrometheusRule", "PodMonitor"} <= {kind for kind, _ in each}
        assert [name for kind, name in each if name.endswith("-dashboard")] != []
        monitors = [each[key] for key in each if key[0] in ("PodMonitor", "PrometheusRule")]
        assert all("release" not in one["metadata"]["labels"] for one in monitors)
        assert {one["metadata"].get("namespace") for one in each.values()} == {None}  # helm's own


@of_each_case
def test_4_the_server_has_its_shared_memory(name: str) -> None:
    """The reference mounts /dev/shm where nothing serves. Here the server has it, in memory and with a limit."""
    for pod, server in servers(name):
        (mount,) = [each for each in server["volumeMounts"] if each["mountPath"] == "/dev/shm"]
        (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
        size = CASES[name].get("server", {}).get("sharedMemory", "16Gi")
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": size}


@of_each_case
def test_5_an_upgrade_leaves_the_autoscalers_number(name: str) -> None:
    """The reference renders `replicas: 1` for ever. Here there is a number only where nobody else decides it;
    `test_an_upgrade_under_load_leaves_the_replicas_and_breaks_no_stream` upgrades one."""
    scaled = CASES[name].get("autoscaling", {}).get("enabled", True)
    for (kind, _), each in manifests(name).items():
        if kind in ("Deployment", "LeaderWorkerSet"):
            assert ("replicas" in each["spec"]) is not scaled


POD = {"namespace": "serving", "pod": "p", "job": "serving/demo-triton-trtllm", "version": "1"}
FRONT = {**POD, "model": "tensorrt_llm_bls"}
QUEUE, COMPUTE = "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"


def rule(name: str, **values: Any) -> str:
    found = objects({"mode": "emulated", **values})["PrometheusRule", "demo-triton-trtllm"]
    return next(str(each["expr"]) for each in found["spec"]["groups"][0]["rules"] if each["record"] == name)


RATIO = "triton:queue_compute:ratio"


def test_6_the_ratio_is_there_when_idle_and_after_missed_scrapes(tmp_path: Path) -> None:
    """The reference's window of a minute over scrapes of 30 s is empty after one that was missed, and idle is 0 by
    chance. Here a window has at least four scrapes, and idle reads what the values say."""
    idle = [Line(QUEUE, FRONT, value=7e6), Line(COMPUTE, FRONT, value=9e6)]
    # queued 3 s and computed 2 s in each second: 1.5; two of the six scrapes in 30 s were missed
    busy = {**FRONT, "pod": "busy"}
    gap = [Line(QUEUE, busy, per_s=3e6, missed=(1, 2)), Line(COMPUTE, busy, per_s=2e6, missed=(1, 2))]
    # only queued: no compute in the window, and still far above any target
    stuck = [Line(QUEUE, {**FRONT, "pod": "stuck"}, per_s=1e6), Line(COMPUTE, {**FRONT, "pod": "stuck"}, value=5.0)]
    slow = {**FRONT, "pod": "slow"}
    reference = [Line(name, slow, per_s=1e6, every_s=30.0, missed=(1,)) for name in (QUEUE, COMPUTE)]
    with past([*idle, *gap, *stuck, *reference], tmp_path) as series:
        ratio = series.ask(rule(RATIO))
        assert ratio["p"] == 0.0
        assert ratio["busy"] == pytest.approx(1.5)
        assert ratio["stuck"] == pytest.approx(1e6)
        assert series.ask(rule(RATIO, rules={"ratio": {"idleRatio": 0.25}}))["p"] == pytest.approx(0.25)
        tutorial = rule("triton:queue_compute:ratio_reference", rules={"reference": {"enabled": True}})
        assert "slow" not in series.ask(tutorial)


def test_7_a_mean_is_a_mean_at_any_rate(tmp_path: Path) -> None:
    """The reference divides by at least one request a second, so that at 0.2 a second 3 s read as 0.6 s. Here a mean is
    a sum over a sum."""
    success = "nv_inference_request_success"
    lines = [Line(success, FRONT, per_s=0.2), Line(QUEUE, FRONT, per_s=0.2 * 3e6)]
    lines += [Line(COMPUTE, FRONT, per_s=0.2 * 2e6)]
    # a preprocessor that is asked as often and waits for nothing would halve a mean over all models
    lines += [Line(success, {**POD, "model": "preprocessing"}, per_s=0.2)]
    with past(lines, tmp_path) as series:
        assert series.ask(panel("Time in Triton", "queue"))[""] == pytest.approx(3.0)
        assert series.ask(panel("Time in Triton", "compute"))[""] == pytest.approx(2.0)
        front = '{model="tensorrt_llm_bls"}'
        reference = f"rate({QUEUE}{front}[1m]) / clamp_min(rate({success}{front}[1m]), 1) / 1e6"
        assert series.ask(reference)["p"] == pytest.approx(0.6)


OWN_WARNINGS = {
    "metric.target_default",  # the default target of the ratio, which only a load test can replace
    "rollout.unavailable",  # examples without a free GPU, and their least number of replicas is 1
}
WARNINGS_OF_CASES = {
    "emulated-keda-idle": {"metric.cpu"},  # a trigger of the user
    "emulated-everything-set": {"query.per_model", "pod.no_prestop"},  # the reference's rule for comparison; no preStop
    "emulated-static": {"disruption.none", "traffic.grpc_per_connection"},  # neither budget nor headless Service
}


@of_each_case
def test_lint_finds_no_such_fault(name: str) -> None:
    """`loadgen lint` finds these faults in the reference and none here; it warns of what only the user knows."""
    found = lint(read_objects(("chart", each) for each in manifests(name).values())).pitfalls
    known = OWN_WARNINGS | WARNINGS_OF_CASES.get(name, set())
    assert [(each.declared.code, each.value) for each in found if each.declared.code not in known] == []
    assert not [each for each in found if each.severity == "error"]
