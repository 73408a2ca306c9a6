"""Mode llmapi as a pod has it: the real Triton server over the volumes of the chart, laid out as a kubelet does.

A ConfigMap is more than its files there: a folder with a date, `..data`, which points at it, and a link for each name.
"""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from loadgen.local.replica import TritonServer
from loadgen.local.triton import is_ready
from loadgen.sandbox import emulated
from loadgen.sandbox.images import table, write_images
from loadgen.sandbox.kubelet.volumes.atomic_writer import write_atomically
from loadgen.sandbox.kubelet.volumes.payload import object_payload
from support.charts import llmapi_image
from support.charts.cases import cases
from support.charts.helm import objects
from support.charts.release import installed
from support.kube.cluster import Cluster
from support.kube.sandboxes import config_of

pytestmark = pytest.mark.timeout(300)


def lay_out(values: dict[str, Any], root: Path) -> Path:
    """What the server of the rendered pod has below a root, and where its model repository is."""
    found = objects(values)
    pod = found["Deployment", "demo-triton-trtllm"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    for mount in sorted(server["volumeMounts"], key=lambda each: str(each["mountPath"]).count("/")):
        at, source = root / mount["mountPath"].lstrip("/"), volumes[mount["name"]].get("configMap")
        at.mkdir(parents=True, exist_ok=True)
        if source:
            name = source["name"]
            write_atomically(at, object_payload("configmaps", name, found["ConfigMap", name], source, "serving"))
    (repository,) = [each.partition("=")[2] for each in server["args"] if each.startswith("--model-repository=")]
    return root / repository.lstrip("/")


def test_the_server_takes_the_volumes_for_one_model_and_answers(tmp_path: Path) -> None:
    """Nothing of a kubelet's own is taken for a model, and the model finds its files through the links."""
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
        while not is_ready(int(server.http.rpartition(":")[2])):
            assert server.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, "not ready after 60 s"
            time.sleep(0.05)
        assert asked(server.http, "repository/index", {}) == [
            {"name": "tensorrt_llm", "version": "1", "state": "READY"}
        ]
        answer = asked(
            server.http, "models/tensorrt_llm/generate", {"text_input": "a b", "sampling_param_max_tokens": 3}
        )
        assert len(answer["text_output"].split()) == 3
    finally:
        server.kill()
        while server.poll() is None:
            time.sleep(0.01)


@pytest.mark.parametrize("case", cases())
def test_every_mount_can_be_made_and_no_configmap_is_the_model_repository(case: str) -> None:
    """A container runtime makes the folder that it mounts on, and cannot where a read-only volume is around it."""
    for each in objects(cases()[case]).values():
        for spec in pods(each):
            maps = {volume["name"] for volume in spec["volumes"] if "configMap" in volume}
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
                around = [str(folder) for path in mounts for folder in Path(path).parents if str(folder) in mounts]
                assert not any(mounts[path].get("readOnly") for path in around)
                assert mounts.get("/models", {}).get("name") not in maps


def pods(each: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods that an object makes."""
    spec = each.get("spec") or {}
    group = spec.get("leaderWorkerTemplate") or {}
    templates = [spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate")]
    return [found["spec"] for found in templates if found]


def asked(address: str, path: str, fields: dict[str, Any]) -> Any:
    """What the server answers to a POST."""
    request = urllib.request.Request(f"http://{address}/v2/{path}", json.dumps(fields).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_pod_serves_it(cluster: Cluster, tmp_path: Path) -> None:
    """The same on a real control plane: the pod becomes ready, and its streams are whole."""
    folder = cluster.sandbox.folder / "llmapi"  # not below /tmp, which is the pod's own
    folder.mkdir()
    config = config_of(cluster.sandbox)
    write_images(config, [emulated.image(llmapi_image.program(folder / "packages"), folder / "bin"), *table(config)])
    values = llmapi_image.values(emulated={"plays": "llmapi"})
    try:
        release = installed(cluster.sandbox, tmp_path, "llmapi", **values)
        release.wait_until_ready(within_s=90)
        told = release.load(1, 2, tokens=4)
        assert told["broken"] == []
        assert told["ok"] > 0
        release.helm("uninstall", release.name, "--wait", "--timeout=60s")
    finally:
        write_images(config, table(config))
