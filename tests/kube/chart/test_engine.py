"""Mode engine on a real control plane, with programs that stand in for TensorRT-LLM's: built once, reused, or told why.

The Job, the lock on the volume, the waiting pods and their messages are the chart's own; converter, `trtllm-build` and
server are stand-ins of this file.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.sandbox.images import reference, table, write_images
from support.kube.cluster import Cluster, eventually, ready, volume
from support.kube.sandboxes import config_of, inside

pytestmark = pytest.mark.timeout(300)

CONVERT = """
import pathlib, sys
told = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = pathlib.Path(told["--output_dir"])
folder.mkdir(parents=True)
(folder / "config.json").write_text("{}")
"""
# counts its calls on the volume, and takes long enough for a second builder to come upon it
BUILD = """
import pathlib, sys, time
told = dict(zip(sys.argv[1::2], sys.argv[2::2]))
volume = pathlib.Path("/model-volume")
with open(volume / "calls", "a") as calls:
    calls.write("build\\n")
if (volume / "broken").exists():
    sys.exit("CUDA out of memory: tried to allocate 20.00 GiB")
time.sleep(5)
folder = pathlib.Path(told["--output_dir"])
folder.mkdir(parents=True)
(folder / "config.json").write_text('{"build_config": {"max_batch_size": 8}}')
(folder / "rank0.engine").write_text("an engine")
"""
# the one thing that a pod needs of a server: that it is ready
SERVER = """
import http.server
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", 8000), Ready).serve_forever()
"""
IMAGE: dict[str, Any] = {"repository": "stand-in/triton", "tag": "any", "checkTag": False}
PODS: dict[str, Any] = {"replicas": 2, "resources": {}, "probes": {"startup": {"periodSeconds": 1}}}
MODELS = ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls")
# what a template of TensorRT-LLM 1.x must let one say
SAID = (
    "triton_backend engine_dir tokenizer_dir decoupled_mode triton_max_batch_size bls_instance_count "
    "preprocessing_instance_count postprocessing_instance_count batching_strategy batch_scheduler_policy "
    "kv_cache_free_gpu_mem_fraction enable_kv_cache_reuse enable_chunked_context exclude_input_in_output "
    "max_queue_size max_queue_delay_microseconds stats_check_period_ms cancellation_check_period_ms "
    "accumulate_tokens tensorrt_llm_model_name logits_datatype"
)


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> Iterator[Path]:
    """An image with the stand-ins; its `/app` is a folder of this machine, not below /tmp, which is the pod's own."""
    folder = cluster.sandbox.folder / "stand-in"
    folder.mkdir()
    for name, text in (("trtllm-build", BUILD), ("tritonserver", SERVER)):
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    (folder / "python3").write_text(f'#!/bin/sh\nPYTHONPATH={folder}/packages exec {sys.executable} "$@"\n')
    (folder / "python3").chmod(0o755)
    about = folder / "packages/tensorrt_llm-1.2.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorrt_llm\nVersion: 1.2.1\n")
    app = folder / "app"
    (app / "convert").mkdir(parents=True)
    (app / "convert/convert_checkpoint.py").write_text(CONVERT)
    for name in MODELS:
        model = app / "all_models/inflight_batcher_llm" / name
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text("".join(f'{each}: "${{{each}}}"\n' for each in SAID.split()))
    config = config_of(cluster.sandbox)
    row = {"match": reference("stand-in/triton"), "path": [str(folder)], "pull_s": 0.0}
    write_images(config, [row, *table(config)])
    yield app
    write_images(config, table(config))


def on_volume(cluster: Cluster, name: str, script: str) -> str:
    """Run a script where the volume is, and return what it prints."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-look"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "busybox",
                    "command": ["/bin/sh", "-c", script],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                }
            ],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}],
        },
    }
    cluster.create(pod)
    told = cluster.log(f"{name}-look")
    cluster.kubectl("delete", "pod", f"{name}-look", "--wait=true")
    return told


def install(cluster: Cluster, app: Path, folder: Path, release: str, **values: Any) -> None:
    base: dict[str, Any] = {
        "mode": "engine",
        "image": IMAGE,
        "model": {"path": "tiny"},
        "modelVolume": {"claimName": release},
        "gpu": {"products": ["NVIDIA-H100-80GB-HBM3"], "perPod": 1},
        "engine": {
            "build": {"minFreeGiB": 0, "backoffLimit": 0, "resources": {"requests": {"cpu": "50m"}}},
            "convertScript": "/app/convert/convert_checkpoint.py",
            "maxBatchSize": 8,
        },
        "server": PODS,
        "pod": {
            "extraVolumes": [{"name": "app", "hostPath": {"path": str(app)}}],
            "extraVolumeMounts": [{"name": "app", "mountPath": "/app"}],
        },
        "autoscaling": {"enabled": False},
        "metrics": {"monitor": "none"},
        "rules": {"enabled": False},
    }
    file = folder / f"{release}.yaml"
    file.write_text(yaml.safe_dump({**base, **values}))
    chart = str(chart_folder())
    inside(
        cluster.sandbox, "helm", "upgrade", "--install", release, chart, f"-n={cluster.namespace}", f"--values={file}"
    )


def pods(cluster: Cluster, release: str) -> list[dict[str, Any]]:
    which = f"-lapp.kubernetes.io/instance={release},app.kubernetes.io/component=server"
    return list(json.loads(cluster.kubectl("get", "pods", which, "--output=json"))["items"])


def test_two_pods_wait_for_one_build_and_a_third_does_not_build(cluster: Cluster, image: Path, tmp_path: Path) -> None:
    """The Job builds once for all; a pod that is added later starts with what is there, and so does another Job that an
    upgrade makes, as the one that is there cannot be changed."""
    volume(cluster, "once")
    on_volume(cluster, "once", 'mkdir /v/tiny; echo \'{"model_type": "llama"}\' > /v/tiny/config.json')
    install(cluster, image, tmp_path, "once")
    eventually(lambda: sum(map(ready, pods(cluster, "once"))) == 2, "two ready pods", within_s=90)
    cluster.kubectl("scale", "deployment/once-triton-trtllm", "--replicas=3")
    eventually(lambda: sum(map(ready, pods(cluster, "once"))) == 3, "a third ready pod", within_s=60)
    assert on_volume(cluster, "once", "cat /v/calls").split() == ["build"]
    waited = cluster.kubectl("logs", pods(cluster, "once")[0]["metadata"]["name"], "--container=engine")
    assert "is ready." in waited
    (first,) = jobs(cluster, "once")
    changed = {"image": {**IMAGE, "pullPolicy": "Always"}, "server": {**PODS, "replicas": 3}}
    install(cluster, image, tmp_path, "once", **changed)
    (second,) = eventually(lambda: [each for each in jobs(cluster, "once") if each != first], "another Job")
    cluster.kubectl("wait", "--for=condition=Complete", f"job/{second}", "--timeout=50s")
    assert on_volume(cluster, "once", "cat /v/calls").split() == ["build"]
    inside(cluster.sandbox, "helm", "uninstall", "once", f"-n={cluster.namespace}")


def jobs(cluster: Cluster, release: str) -> list[str]:
    told = cluster.kubectl("get", "jobs", f"-lapp.kubernetes.io/instance={release}", "--output=name")
    return [each.removeprefix("job.batch/") for each in told.split()]


def test_pods_that_build_themselves_build_once(cluster: Cluster, image: Path, tmp_path: Path) -> None:
    """Without a Job the first pod builds under a lock, and the second waits for its result."""
    volume(cluster, "bypod")
    on_volume(cluster, "bypod", 'mkdir /v/tiny; echo \'{"model_type": "llama"}\' > /v/tiny/config.json')
    build = {"by": "pod", "minFreeGiB": 0}
    engine = {"build": build, "convertScript": "/app/convert/convert_checkpoint.py", "maxBatchSize": 8}
    install(cluster, image, tmp_path, "bypod", engine=engine)
    eventually(lambda: sum(map(ready, pods(cluster, "bypod"))) == 2, "two ready pods", within_s=90)
    assert on_volume(cluster, "bypod", "cat /v/calls").split() == ["build"]
    inside(cluster.sandbox, "helm", "uninstall", "bypod", f"-n={cluster.namespace}")


def test_a_waiting_pod_reports_a_failed_build(cluster: Cluster, image: Path, tmp_path: Path) -> None:
    """`kubectl describe pod` of a serving pod shows the step, the exit code and the builder's own words."""
    volume(cluster, "broken")
    script = 'mkdir /v/tiny; echo \'{"model_type": "llama"}\' > /v/tiny/config.json; touch /v/broken'
    on_volume(cluster, "broken", script)
    install(cluster, image, tmp_path, "broken")

    def told() -> str:
        words = []
        for each in pods(cluster, "broken"):
            for status in each["status"].get("initContainerStatuses") or []:
                for state in (status["state"], status.get("lastState") or {}):
                    words.append(state.get("terminated", {}).get("message", ""))
        return " ".join(words)

    eventually(lambda: "CUDA out of memory" in told(), "the reason on a waiting pod", within_s=240)
    assert "build" in told()
    job = json.loads(cluster.kubectl("get", "jobs", "-lapp.kubernetes.io/instance=broken", "--output=json"))["items"][0]
    assert "broken-triton-trtllm-build-" in job["metadata"]["name"]
    assert job["metadata"]["name"] in told()
    inside(cluster.sandbox, "helm", "uninstall", "broken", f"-n={cluster.namespace}")
