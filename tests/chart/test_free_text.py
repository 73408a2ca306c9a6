"""Names, tags, hosts and lists that users write reach the manifests whole, and break nothing."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import LOADGEN, TRITON, helm, objects, parsed, rejection
from support.charts.leaves import EMULATED, ENGINE, GROUP, NGINX, TRAEFIK, merged

URL: dict[str, Any] = {"target": {"url": "grpc://llm.serving:8001"}}
BASE = {TRITON: EMULATED, LOADGEN: URL}
DIGEST = "sha256:" + 64 * "a"
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")


def labels(tree: Any) -> Iterator[str]:
    """The values of all labels and selectors of an object and its templates."""
    if isinstance(tree, Mapping):
        for key, below in tree.items():
            if key in ("labels", "matchLabels") and isinstance(below, Mapping):
                yield from below.values()
            yield from labels(below)
    elif isinstance(tree, list):
        for each in tree:
            yield from labels(each)


@pytest.mark.parametrize("chart", BASE)
@pytest.mark.parametrize("tag", [f"26.07-py3@{DIGEST}", "26.07-" + 120 * "x", "26.07-py3-" + 60 * "."])
def test_any_tag_is_pulled_as_it_is_and_is_no_label_as_it_is(chart: str, tag: str) -> None:
    """A digest has a colon and 64 digits, a tag up to 128 characters: neither is the value of a label."""
    found = objects(merged(BASE[chart], {"image": {"tag": tag}}), chart=chart)
    assert all(LABEL.fullmatch(each) for each in labels(list(found.values())))
    assert f":{tag}" in str(found)


@pytest.mark.parametrize("chart", BASE)
def test_a_digest_may_be_a_value_of_its_own(chart: str) -> None:
    """It follows the tag; a tag with a second one is refused."""
    image = {"repository": "registry.example.com/team/server", "digest": DIGEST}
    tag = "26.07-py3" if chart == TRITON else "0.1.0"
    assert f"registry.example.com/team/server:{tag}@{DIGEST}" in str(
        objects(merged(BASE[chart], {"image": image}), chart=chart)
    )
    twice = merged(BASE[chart], {"image": {"digest": DIGEST, "tag": f"26.07-py3@{DIGEST}"}})
    assert "image.digest is set and image.tag has a digest" in rejection(twice, chart=chart)


@pytest.mark.parametrize(
    ("repository", "pulled"),
    [
        ("nvcr.io/nvidia/tritonserver", "mirror.example.com/nvidia/tritonserver:"),
        ("localhost:5000/triton", "mirror.example.com/triton:"),
        ("nvidia/triton", "mirror.example.com/nvidia/triton:"),
        ("triton", "mirror.example.com/triton:"),
    ],
)
@pytest.mark.parametrize("chart", BASE)
def test_a_global_registry_replaces_that_of_every_image(chart: str, repository: str, pulled: str) -> None:
    """As umbrella charts set it for all of their charts."""
    values = {"image": {"repository": repository}, "global": {"imageRegistry": "mirror.example.com"}}
    found = str(objects(merged(BASE[chart], values), chart=chart))
    assert f"'image': '{pulled}" in found
    assert f"'image': '{repository}:" not in found


LONG = "a-release-with-the-longest-name-that-helm-allows-for-"[:52] + "x"
LIMITS = {"Job": 63, "Service": 63, "CronJob": 52, "LeaderWorkerSet": 48}


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        (TRITON, ENGINE),
        (TRITON, GROUP),
        (TRITON, merged(EMULATED, {"metrics": {"monitor": "ServiceMonitor"}, "nameOverride": 70 * "n"})),
        (LOADGEN, URL),
        (LOADGEN, merged(URL, {"kind": "CronJob", "workers": {"count": 1}, "runs": {"claimName": "runs"}})),
        (LOADGEN, merged(URL, {"fullnameOverride": 80 * "n"})),
    ],
)
def test_long_names_are_cut_with_a_hash(chart: str, values: dict[str, Any]) -> None:
    """Names stay within their limits, and two releases whose names differ at the end do not share objects."""
    one = objects(values, release=LONG, chart=chart)
    for kind, name in one:
        assert len(name) <= LIMITS.get(kind, 253), (kind, name)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert all(LABEL.fullmatch(each) for each in labels(list(one.values())))
    if "fullnameOverride" not in values:
        assert not one.keys() & objects(values, release=LONG[:-1] + "y", chart=chart).keys()


def test_short_names_are_as_they_are() -> None:
    """A name within its limit has no hash, so an upgrade keeps the objects of a release."""
    assert ("Deployment", f"{28 * 'r'}-triton-trtllm") in objects(EMULATED, release=28 * "r")


@pytest.mark.parametrize("name", ["My LLM", "llm_1", "-llm", "llm/one"])
@pytest.mark.parametrize("value", ["nameOverride", "fullnameOverride"])
def test_a_name_that_kubernetes_refuses_is_refused(value: str, name: str) -> None:
    """The schema names the value."""
    for chart, base in BASE.items():
        assert value in rejection({**base, value: name}, chart=chart)


def containers(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, Mapping):
        for key, below in found.items():
            if key in ("containers", "initContainers"):
                yield from below
            yield from containers(below)
    elif isinstance(found, list):
        for each in found:
            yield from containers(each)


OWN_ENV = [
    {"name": "HF_HOME", "value": "/mine"},
    {"name": "HOME", "value": "/home"},
    {"name": "POD_NAME", "value": "x"},
]
OWN_VOLUMES = {
    "extraVolumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    "extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp", "subPath": "mine"}],
}


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        (TRITON, merged(ENGINE, {"server": {"env": OWN_ENV}, "pod": OWN_VOLUMES})),
        (TRITON, merged(merged(ENGINE, {"engine": {"build": {"by": "pod"}}}), {"server": {"env": OWN_ENV}})),
        (TRITON, merged(GROUP, {"server": {"env": OWN_ENV}, "pod": OWN_VOLUMES})),
        (TRITON, merged(EMULATED, {"server": {"env": [*OWN_ENV, *OWN_ENV]}, "pod": OWN_VOLUMES})),
        (LOADGEN, merged(URL, {"env": [{"name": "HOME", "value": "/home"}], "pod": OWN_VOLUMES})),
    ],
)
def test_the_users_entry_wins_in_every_list_with_names(chart: str, values: dict[str, Any]) -> None:
    """Environment, volumes and mounts: a name is there once, as helm's server-side apply requires."""
    found = list(objects(values, chart=chart).values())
    for each in containers(found):
        names = [variable["name"] for variable in each.get("env", [])]
        paths = [mount["mountPath"] for mount in each.get("volumeMounts", [])]
        assert len(names) == len(set(names)), each["name"]
        assert len(paths) == len(set(paths)), each["name"]
        if "HOME" in names:
            assert {"name": "HOME", "value": "/home"} in each["env"]
    for template in [each["spec"]["template"] for each in found if each["kind"] in ("Deployment", "Job")]:
        names = [volume["name"] for volume in template["spec"]["volumes"]]
        assert len(names) == len(set(names))
    if "extraVolumes" in values.get("pod", {}):
        assert "{'sizeLimit': '1Gi'}" in str(found)


def test_a_wildcard_host() -> None:
    """Ingress and routes have it as text; Traefik, whose Host matches no wildcard, as a pattern."""
    host = {"ingress": {"host": "*.example.com"}}
    nginx = objects(merged(NGINX, host))["Ingress", "demo-triton-trtllm-grpc"]["spec"]
    assert nginx["rules"][0]["host"] == "*.example.com"
    assert nginx["tls"][0]["hosts"] == ["*.example.com"]
    for route in objects(merged(TRAEFIK, host))["IngressRoute", "demo-triton-trtllm"]["spec"]["routes"]:
        assert route["match"].startswith("HostRegexp(`^[^.]+[.]example[.]com$`) && PathRegexp(`^/")


@pytest.mark.parametrize("word", ["123", "on"])
def test_words_that_yaml_reads_as_something_else_stay_text(word: str) -> None:
    """Names of Secrets, claims, classes and accounts may be digits or words such as `on`."""
    values = {
        "fullnameOverride": word,
        "image": {"pullSecrets": [word]},
        "modelVolume": {"claimName": word},
        "serviceAccount": {"name": word},
        "pod": {"priorityClassName": word, "runtimeClassName": word, "schedulerName": word},
        "ingress": {"tlsSecret": word, "nginx": {"className": word}},
    }
    found = objects(merged(NGINX, values), namespace=word)
    pod = found["Deployment", word]["spec"]["template"]["spec"]
    assert [pod[f"{name}Name"] for name in ("serviceAccount", "priorityClass", "runtimeClass", "scheduler")] == 4 * [
        word
    ]
    assert pod["imagePullSecrets"] == [{"name": word}]
    assert {"persistentVolumeClaim": {"claimName": word}, "name": "model-volume"} in pod["volumes"]
    spec = found["Ingress", f"{word}-grpc"]["spec"]
    assert (spec["ingressClassName"], spec["tls"][0]["secretName"]) == (word, word)
    assert spec["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] == word


@pytest.mark.parametrize("chart", BASE)
def test_an_umbrella_chart_with_alias_and_condition(chart: str, tmp_path: Path) -> None:
    """Helm leaves `enabled`, tags and globals among the values of a subchart; others are still refused."""
    dependency = {"name": chart, "alias": "llm", "version": "0.1.0", "condition": "llm.enabled", "tags": ["serving"]}
    umbrella = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(umbrella))
    shutil.copytree(chart_folder(chart), tmp_path / "charts" / chart, ignore=shutil.ignore_patterns("__pycache__"))
    own = {**BASE[chart], "enabled": True, "tags": {"serving": True}}
    values = {"llm": own, "global": {"domain": "example.com"}, "tags": {"serving": True}}
    arguments = ("template", "demo", str(tmp_path), "--kube-version=1.37.1")
    done = helm(*arguments, values=values)
    assert done.returncode == 0, done.stderr
    assert {"demo-llm", "demo-llm-1"} & {name for _, name in parsed(done.stdout)}
    assert helm(*arguments, values={**values, "llm": {**own, "enabled": False}}).stdout.strip() == ""
    refused = helm(*arguments, values={**values, "llm": {**own, "enable": True}})
    assert "enable" in refused.stderr
    assert refused.returncode != 0
