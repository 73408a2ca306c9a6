"""Mode llmapi on a real control plane: the pod becomes ready, and its streams are complete."""

from pathlib import Path

import pytest

from loadgen.sandbox import emulated
from loadgen.sandbox.images import table, write_images
from support.charts import llmapi_image
from support.charts.release import installed
from support.kube.cluster import Cluster
from support.kube.sandboxes import config_of

pytestmark = pytest.mark.timeout(300)


def test_a_pod_serves_the_llm_api(cluster: Cluster, tmp_path: Path) -> None:
    """The chart's own model answers over the pod's real volumes, mounted by the kubelet."""
    folder = cluster.sandbox.folder / "llmapi"  # not below /tmp, which each pod has to itself
    folder.mkdir()
    config = config_of(cluster.sandbox)
    write_images(config, [emulated.image(llmapi_image.program(folder / "packages"), folder / "bin"), *table(config)])
    values = llmapi_image.values(emulated={"plays": "llmapi"})
    try:
        release = installed(cluster.sandbox, tmp_path, "llmapi", **values)
        release.wait_until_ready(within_s=90)
        answers = release.load(1, 2, tokens=4)
        assert answers["broken"] == []
        assert answers["ok"] > 0
        release.helm("uninstall", release.name, "--wait", "--timeout=60s")
    finally:
        write_images(config, table(config))
