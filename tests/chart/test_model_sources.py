"""Models from elsewhere than Hugging Face's Hub: who downloads, where the model is mounted, and with which Secret."""

import ast
import json
from typing import Any

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import objects, template
from support.charts.leaves import EMULATED, ENGINE, GROUP, LLMAPI, Values, merged

BY_POD = merged(ENGINE, {"engine": {"build": {"by": "pod"}}})
ENGINE_GROUP = merged(ENGINE, {"parallelism": {"tensor": 16}, "multiNode": {"enabled": True}})
MODES: dict[str, Values] = {
    "llmapi": LLMAPI, "a group": GROUP, "engine": ENGINE, "engine by pod": BY_POD, "a group of engines": ENGINE_GROUP,
}  # fmt: skip
CLAIM: Values = {"model": {"repository": "", "uri": "pvc://shared/llama/8b"}}
S3: Values = {
    "model": {
        "repository": "",
        "uri": "s3://models/llama/8b/",
        "s3": {
            "endpoint": "https://minio:9000",
            "region": "eu-central-1",
            "credentialsSecret": {"name": "s3-keys", "sessionToken": "session"},
            "ca": {"configMap": "store-ca"},
        },
    }
}
NGC: Values = {
    "model": {
        "repository": "",
        "uri": "ngc://nvidia/nemo/llama:1.0",
        "ngc": {"apiKeySecret": {"name": "ngc-key"}},
        "download": {"image": "registry.example.com/ngc:4"},
    }
}
LOADS = {
    "llmapi": {"server"},
    "a group": {"server", "worker"},
    "engine": {"build"},
    "engine by pod": {"engine"},
    "a group of engines": {"build"},
}
"""Containers that read the model, by mode."""


def pods(values: Values) -> list[dict[str, Any]]:
    """Specs of the pods of Deployment, Job and LeaderWorkerSet."""
    found = []
    for each in objects(values).values():
        spec = each.get("spec") or {}
        group = spec.get("leaderWorkerTemplate") or {}
        found += [spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate")]
    return [template["spec"] for template in found if template]


def containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in [*pod.get("initContainers", []), *pod["containers"]]}


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["mountPath"]: each for each in container["volumeMounts"]}


def model_of(values: Values) -> str:
    """Folder of the model, as the LLM API or the build reads it."""
    data = [each["data"] for (kind, _), each in objects(values).items() if kind == "ConfigMap" and "data" in each]
    for each in data:
        if "model.yaml" in each:
            return str(json.loads(each["model.yaml"])["model"])
        if "settings.json" in each:
            return str(json.loads(each["settings.json"])["model"]["path"])
    raise AssertionError("no model")


@pytest.mark.parametrize("mode", MODES)
def test_a_claim_is_mounted_read_only_where_the_model_is_read(mode: str) -> None:
    """No other pod waits for the claim, and nothing is downloaded."""
    values = merged(MODES[mode], CLAIM)
    readers = set()
    for pod in pods(values):
        claims = [each for each in pod["volumes"] if each["name"] == "model-source"]
        in_pod = {name for name, each in containers(pod).items() if "/model-source" in mounts(each)}
        assert claims == ([{"name": "model-source", "persistentVolumeClaim": SHARED}] if in_pod else [])
        assert all(mounts(containers(pod)[name])["/model-source"]["readOnly"] is True for name in in_pod)
        assert "download" not in containers(pod)
        readers |= in_pod
    assert readers == LOADS[mode]
    assert model_of(values) == "/model-source/llama/8b"


SHARED = {"claimName": "shared", "readOnly": True}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [S3, NGC], ids=["s3", "ngc"])
def test_a_pod_that_reads_the_model_downloads_it_first(mode: str, source: Values) -> None:
    """An init container downloads to the folder that the model is read from; no other pod has one."""
    values = merged(MODES[mode], source)
    downloads = 0
    for pod in pods(values):
        found = containers(pod)
        if not LOADS[mode] & set(found):
            assert "download" not in found
            continue
        downloads += 1
        order = [each["name"] for each in pod["initContainers"]]
        assert order[0] == "download"
        folder = found["download"]["args"][0]
        assert model_of(values).startswith(f"{folder}/files")
        root = "/" + folder.split("/")[1]
        assert root == ("/model-volume" if "engine" in mode else "/model-source")
        assert mounts(found["download"])[root].get("readOnly") is None
        for name in LOADS[mode] & set(found):
            assert root in mounts(found[name])
    assert downloads == (2 if mode == "a group" else 1)


def test_downloads_go_to_the_model_volume_if_there_is_one() -> None:
    """All pods share it, and a new pod finds the model there."""
    (pod,) = pods(merged(LLMAPI, merged(S3, {"modelVolume": {"claimName": "models"}})))
    assert containers(pod)["download"]["args"][0].startswith("/model-volume/downloads/models-llama-8b-")
    assert "model-source" not in json.dumps(pod)


def variables(pod: dict[str, Any], container: str) -> dict[str, Any]:
    env = containers(pod)[container]["env"]
    return {each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"] for each in env}


def test_s3_is_reached_as_the_values_say() -> None:
    """Endpoint, region, CA, and keys by reference; the endpoint is not for the token service of AWS."""
    (pod,) = pods(merged(LLMAPI, S3))
    assert variables(pod, "download") == {
        "HOME": "/tmp",
        "DOWNLOAD_TIMEOUT_S": "3600",
        "AWS_ENDPOINT_URL_S3": "https://minio:9000",
        "AWS_REGION": "eu-central-1",
        "AWS_CA_BUNDLE": "/etc/model-ca/ca.crt",
        "AWS_ACCESS_KEY_ID": {"name": "s3-keys", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "s3-keys", "key": "AWS_SECRET_ACCESS_KEY"},
        "AWS_SESSION_TOKEN": {"name": "s3-keys", "key": "session"},
    }
    folder, *command = containers(pod)["download"]["args"]
    assert command[:6] == ["aws", "s3", "sync", "s3://models/llama/8b", f"{folder}/files", "--no-progress"]
    assert {"name": "model-ca", "configMap": {"name": "store-ca"}} in pod["volumes"]
    assert mounts(containers(pod)["download"])["/etc/model-ca"]["readOnly"] is True


def test_without_a_secret_the_identity_of_the_pod_is_used() -> None:
    """The service account has the role; no key is in the environment."""
    (pod,) = pods(merged(LLMAPI, {"model": {"repository": "", "uri": "s3://models/llama"}}))
    assert set(variables(pod, "download")) == {"HOME", "DOWNLOAD_TIMEOUT_S"}


def test_ngc_is_reached_with_its_key() -> None:
    """Organization and team come from the URI, and so does the folder that the NGC CLI makes."""
    values = merged(LLMAPI, NGC)
    (pod,) = pods(values)
    found = variables(pod, "download")
    assert (found["NGC_CLI_ORG"], found["NGC_CLI_TEAM"]) == ("nvidia", "nemo")
    assert found["NGC_CLI_API_KEY"] == {"name": "ngc-key", "key": "NGC_API_KEY"}
    folder, *command = containers(pod)["download"]["args"]
    assert command == [
        "ngc",
        "registry",
        "model",
        "download-version",
        "nvidia/nemo/llama:1.0",
        "--dest",
        f"{folder}/files",
    ]
    assert model_of(values) == f"{folder}/files/llama_v1.0"
    (pod,) = pods(merged(values, {"model": {"uri": "ngc://nvidia/llama:1.0"}}))
    assert "NGC_CLI_TEAM" not in variables(pod, "download")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [S3, NGC], ids=["s3", "ngc"])
def test_only_the_download_has_the_keys(mode: str, source: Values) -> None:
    """The server, the workers and the build do not need them."""
    for pod in pods(merged(MODES[mode], source)):
        for name, each in containers(pod).items():
            assert name == "download" or not {"s3-keys", "ngc-key"} & {*json.dumps(each).split('"')}


def test_variables_of_the_server_reach_the_download() -> None:
    """A proxy is for what leaves the cluster, which is the download."""
    values = merged(LLMAPI, merged(S3, {"server": {"env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]}}))
    assert variables(pods(values)[0], "download")["HTTPS_PROXY"] == "http://proxy:3128"


def test_a_failed_download_shows_its_reason_in_the_pod() -> None:
    """`kubectl describe pod` and `loadgen deploy` read it there."""
    (pod,) = pods(merged(LLMAPI, S3))
    assert containers(pod)["download"]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_mode_emulated_ignores_the_model() -> None:
    """It has none: the same manifests, and nothing is downloaded."""
    ignored = merged(EMULATED, {"model": {"uri": "s3://models/llama", "s3": S3["model"]["s3"]}})
    assert template(ignored) == template(EMULATED)


def test_waiting_pods_are_patient_while_the_job_downloads() -> None:
    """Nothing holds the lock of the engine yet. The Deployment's deadline covers a pod's own download."""
    wait = {"model": {"download": {"timeoutSeconds": 7000}}}
    server, _ = sorted(pods(merged(ENGINE, merged(S3, wait))), key=lambda pod: pod["containers"][0]["name"] == "build")
    assert "--builder-timeout-s=7600" in containers(server)["engine"]["command"]
    (deployment,) = [
        each["spec"] for (kind, _), each in objects(merged(LLMAPI, merged(S3, wait))).items() if kind == "Deployment"
    ]
    assert deployment["progressDeadlineSeconds"] == 600 + 1800 + 7000


def test_the_source_is_part_of_the_engine() -> None:
    """The settings that name the engine's folder have it, the same with and without a slash at its end."""

    def model(uri: str) -> dict[str, Any]:
        found = objects(merged(ENGINE, merged(S3, {"model": {"uri": uri}})))
        (data,) = [each["data"] for each in found.values() if "settings.json" in (each.get("data") or {})]
        return dict(json.loads(data["settings.json"])["model"])

    assert model("s3://models/llama") == model("s3://models/llama/")
    assert model("s3://models/llama")["uri"] == "s3://models/llama"
    assert model("s3://models/llama")["endpoint"] == "https://minio:9000"


def test_the_same_files_are_left_out_from_s3_as_from_hugging_face() -> None:
    """Weights in formats that nothing here reads."""
    tree = ast.parse((chart_folder() / "files/engine/download.py").read_text())
    (names,) = [
        ast.literal_eval(each.value)
        for each in tree.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "_NOT_NEEDED"
    ]
    arguments = containers(pods(merged(LLMAPI, S3))[0])["download"]["args"]
    assert [each.removeprefix("--exclude=") for each in arguments if each.startswith("--exclude=")] == names
