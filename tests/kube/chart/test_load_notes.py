"""The chart `loadgen` prints a command that copies reports off their volume, and the API server accepts its pod."""

import json
import shlex

from support.charts.helm import LOADGEN, notes, objects
from support.charts.load_cases import LOAD_CASES
from support.kube.cluster import Cluster


def test_the_api_server_accepts_the_pod_that_copies_reports(cluster: Cluster) -> None:
    """The command of the notes, unchanged, in a dry run in a namespace that enforces the restricted standard."""
    cluster.kubectl(
        "label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite"
    )
    values = LOAD_CASES["job-namespace"]
    text = notes(LOADGEN, values, cluster.namespace)
    (line,) = [each for each in text.splitlines() if " run reader " in each]
    program, *arguments = shlex.split(line)
    assert program == "kubectl"
    done = cluster.run(*arguments, "--dry-run=server", "--output=json")
    assert done.returncode == 0, done.stderr
    (claim,) = [name for kind, name in objects(values, chart=LOADGEN) if kind == "PersistentVolumeClaim"]
    volumes = {each["name"]: each for each in json.loads(done.stdout)["spec"]["volumes"]}
    assert volumes["runs"]["persistentVolumeClaim"] == {"claimName": claim}
