"""A run with the chart's ScaledObject: the real HPA controller reads an external metric with the name that KEDA uses.

KEDA's operator is not available here. The test creates the HPA that the operator would create, and prometheus-adapter
serves the query of the trigger under the name of the external metric. The CRDs are those of KEDA.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.dataset.folder import RunFolder
from loadgen.kube.deploy.chart import chart_folder, emulated_values
from loadgen.local.engine.profile import load_profile
from loadgen.sandbox import emulated
from loadgen.sandbox.build.build import find
from loadgen.sandbox.commands import DEFAULT_NODES, Sandbox
from loadgen.scenario.fleets import Local
from support.kube.cluster import Cluster
from support.kube.given import run
from support.kube.keda_hpa import hpa_of
from support.kube.keda_metrics import serve
from support.kube.sandboxes import inside, up
from support.kube.scenarios import SCENARIOS

pytestmark = pytest.mark.timeout(600)

NAME, RATIO = "llm", "triton:queue_compute:ratio"
LOCUST = str(Path(sys.executable).with_name("locust"))
SCENARIO = str(SCENARIOS / "sandbox_wave.py")
FLEET = Local(replicas=(1, 2), ratio_target=0.15, startup_delay_s=3, scale_down_window_s=15)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with up(DEFAULT_NODES, addons=True, emulated=True) as box:
        inside(box, "kubectl", "apply", "--server-side", f"--filename={find()['keda-crds']}")
        inside(box, "kubectl", "wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s")
        yield box


@pytest.fixture(scope="module")
def scaled_object(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Install the chart with KEDA, do the work of KEDA's operator, and return the ScaledObject."""
    values = emulated_values(FLEET, load_profile(FLEET.profile), name=NAME, tag=emulated.TAG)
    metrics = {"ratio": {"target": "0.15"}, "busy": {"enabled": False}}
    keda = {"kind": "keda", "metrics": metrics, "keda": {"prometheusUrl": "http://prometheus.monitoring.svc:9090"}}
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump({**values, "autoscaling": {**values["autoscaling"], **keda}}))
    options = (f"--namespace={NAME}", f"--values={file}", "--create-namespace")
    inside(sandbox, "helm", "install", NAME, str(chart_folder()), *options)
    cluster = Cluster(sandbox, NAME)
    created = cluster.get("scaledobject", NAME)
    cluster.create(hpa_of(created))
    serve(Cluster(sandbox, "monitoring"), created)
    return created


def test_a_run_with_keda_has_complete_scale_ups(
    sandbox: Sandbox, scaled_object: dict[str, Any], tmp_path: Path
) -> None:
    """The run finds the series of the trigger's query, and each scale-up is complete, from load step to recovery."""
    done = run(
        sandbox,
        *(LOCUST, "-f", SCENARIO, "--headless", "--target=kube", f"--kube-namespace={NAME}"),
        timeout_s=420,
        LOADGEN_RUNS_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = (each for each in tmp_path.iterdir() if each.is_dir())
    folder = RunFolder(path)
    info = folder.read_info()
    assert info.cluster is not None
    assert info.autoscaler is not None
    assert (info.cluster.hpa, info.cluster.lacking) == (f"{NAME}-keda", ())
    assert (info.autoscaler.metric, info.autoscaler.target) == (RATIO, 0.15)
    assert (info.autoscaler.rate_window_s, info.autoscaler.scrape_interval_s) == (10.0, 1.0)
    analysis = json.loads((path / "analysis.json").read_text())
    ups = [each for each in analysis["scaling"] if each["direction"] == "up"]
    assert ups
    # a scale-up that the load did not need has no load step
    assert all(why.startswith("load step: ") for each in ups for why in each["missing"])
    assert all("external metric s0-prometheus" in each["reason"] for each in ups)
    assert any(each["direction"] == "down" for each in analysis["scaling"])
    codes = {each["code"] for each in analysis["findings"]}
    assert not codes & {"autoscaler.blind", "cluster.lacking", "signal.untrue", "signal.adapter"}
    # each sync has the value that the controller read from KEDA's external metric
    events = folder.read("events")
    values = [json.loads(data)["metric_milli"] for data in events[events.kind == "hpa_sync"].data]
    assert max(each for each in values if each is not None) > 150
