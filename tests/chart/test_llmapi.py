"""Mode llmapi: the real Triton server over the volumes of the chart, laid out as a kubelet lays them out.

A mounted ConfigMap is a dated folder, `..data`, which points to it, and a link for each file name.
"""

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from loadgen.local.environments import remove_environment_folders
from loadgen.local.triton import TritonServer, is_ready
from loadgen.sandbox.kubelet.volumes.atomic_writer import write_atomically
from loadgen.sandbox.kubelet.volumes.payload import object_payload
from support.charts import llmapi_image
from support.charts.cases import TRITON_CASES
from support.charts.helm import objects


def lay_out(values: dict[str, Any], root: Path) -> Path:
    """Lays out the volumes of the rendered pod's server below a root, and returns the folder of its models."""
    manifests = objects(values)
    pod = manifests["Deployment", "demo-triton-trtllm"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    for mount in sorted(server["volumeMounts"], key=lambda each: str(each["mountPath"]).count("/")):
        at, source = root / mount["mountPath"].lstrip("/"), volumes[mount["name"]].get("configMap")
        at.mkdir(parents=True, exist_ok=True)
        if source:
            name = source["name"]
            write_atomically(at, object_payload("configmaps", name, manifests["ConfigMap", name], source, "serving"))
    (repository,) = [each.partition("=")[2] for each in server["args"] if each.startswith("--model-repository=")]
    return root / repository.lstrip("/")


def test_the_server_loads_one_model_from_the_volumes_and_answers(tmp_path: Path) -> None:
    """Triton takes no file of the kubelet for a model, and the model finds its files through the links."""
    repository = lay_out(llmapi_image.values(), tmp_path)
    log = tmp_path / "triton.log"
    server = TritonServer(
        llmapi_image.program(tmp_path / "packages"),
        "llmapi",
        repository=repository,
        shm_prefix=f"loadgen-test-{time.monotonic_ns()}-",
        log=log,
        grace_s=5,
    )
    try:
        deadline = time.monotonic() + 60
        while not asyncio.run(is_ready(server.http)):
            assert server.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, "not ready after 60 s"
            time.sleep(0.05)
        assert post(server.http, "repository/index", {}) == [{"name": "tensorrt_llm", "version": "1", "state": "READY"}]
        answer = post(
            server.http, "models/tensorrt_llm/generate", {"text_input": "a b", "sampling_param_max_tokens": 3}
        )
        assert len(answer["text_output"].split()) == 3
    finally:
        server.kill()
        while server.poll() is None:
            time.sleep(0.01)
        remove_environment_folders(tmp_path)


@pytest.mark.parametrize("case", TRITON_CASES)
def test_no_mount_lies_in_a_read_only_mount(case: str) -> None:
    """A container runtime creates each mount point, which fails inside a read-only volume. No ConfigMap is mounted as
    the model repository itself."""
    for each in objects(TRITON_CASES[case]).values():
        for spec in pods(each):
            maps = {volume["name"] for volume in spec["volumes"] if "configMap" in volume}
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
                around = [str(folder) for path in mounts for folder in Path(path).parents if str(folder) in mounts]
                assert not any(mounts[path].get("readOnly") for path in around)
                assert mounts.get("/models", {}).get("name") not in maps


def pods(each: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod specs of an object."""
    spec = each.get("spec") or {}
    group = spec.get("leaderWorkerTemplate") or {}
    templates = [spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate")]
    return [template["spec"] for template in templates if template]


def post(address: str, path: str, fields: dict[str, Any]) -> Any:
    """The JSON that the server answers to a POST."""
    request = urllib.request.Request(f"http://{address}/v2/{path}", json.dumps(fields).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
