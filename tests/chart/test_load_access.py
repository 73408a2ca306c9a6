"""The chart `loadgen` bounds who can reach the web UI and join as a worker."""

import re
from base64 import b64decode
from typing import Any

import pytest

from support.charts.helm import LOADGEN, template
from support.charts.load_cases import LOAD_CASES
from support.yaml_files import documents


def objects(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rendered objects by kind and name."""
    rendered = documents(template(values, chart=LOADGEN))
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in rendered}


def containers(rendered: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    specs = [each["spec"] for each in rendered.values() if each["kind"] in ("Job", "CronJob", "Deployment")]
    specs = [spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec for spec in specs]
    return [container for spec in specs for container in spec["template"]["spec"]["containers"]]


def secret_env(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [each["valueFrom"]["secretKeyRef"] for each in container["env"] if each["name"] == "LOADGEN_WORKER_SECRET"]


@pytest.mark.parametrize(
    ("case", "addresses"),
    [
        ("job-url", []),
        ("job-workers", ["--master-bind-host=*"]),
        ("web", ["--web-host=*", "--master-bind-host=127.0.0.1"]),
        ("web-workers", ["--web-host=*", "--master-bind-host=*"]),
    ],
)
def test_addresses_on_which_pods_listen(case: str, addresses: list[str]) -> None:
    """The chart sets them itself: loopback for workers in the same pod, all for those in others and for the web UI."""
    first = containers(objects(LOAD_CASES[case]))[0]
    assert [each for each in first["args"] if "-host=" in each and "master-host" not in each] == addresses


@pytest.mark.parametrize("case", ["job-workers", "nightly-workers", "web-workers"])
def test_master_and_workers_share_a_secret(case: str) -> None:
    """Each pod reads the same key of one Secret, which the chart creates unless the values name one."""
    rendered = objects(LOAD_CASES[case])
    references = [each for container in containers(rendered) for each in secret_env(container)]
    assert len(references) == len(containers(rendered))
    assert all(each == references[0] for each in references)
    created = {each["metadata"]["name"]: each["data"] for each in rendered.values() if each["kind"] == "Secret"}
    if case == "web-workers":
        assert (references[0], created) == ({"name": "mine", "key": "word"}, {})
    else:
        assert len(b64decode(created[references[0]["name"]][references[0]["key"]])) == 40


def test_two_releases_have_two_secrets() -> None:
    """The value is random."""
    values = LOAD_CASES["job-workers"]
    first = template(values, chart=LOADGEN)
    second = template(values, "--kube-version=1.32.0", chart=LOADGEN)  # not the same command, whose result is cached
    secrets = [re.findall(r'^  "secret": (\S+)$', text, re.MULTILINE) for text in (first, second)]
    assert [len(each) for each in secrets] == [1, 1]
    assert secrets[0] != secrets[1]


def test_no_secret_without_workers() -> None:
    """Workers of --processes are forked and have one of their own."""
    for case in ("job-url", "web"):
        rendered = objects(LOAD_CASES[case])
        assert not [each for each in rendered.values() if each["kind"] == "Secret"]
        assert not [each for container in containers(rendered) for each in secret_env(container)]


@pytest.mark.parametrize(
    ("case", "ports"), [("job-url", []), ("job-workers", [5557]), ("web", [8089]), ("web-workers", [5557])]
)
def test_the_network_policy(case: str, ports: list[int]) -> None:
    """It covers every pod of the release, and each port has peers: no rule is open to all."""
    rendered = objects(LOAD_CASES[case])
    (policy,) = (each["spec"] for each in rendered.values() if each["kind"] == "NetworkPolicy")
    assert policy["policyTypes"][0] == "Ingress"
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == ports
    assert all(rule["from"] for rule in policy["ingress"])
    pods = [each["spec"]["template"] for each in rendered.values() if each["kind"] in ("Job", "Deployment")]
    wanted = policy["podSelector"]["matchLabels"].items()
    assert all(wanted <= pod["metadata"]["labels"].items() for pod in pods)
