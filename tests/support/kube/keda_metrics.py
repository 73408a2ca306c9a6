"""Serves the external metrics of KEDA's HPA, as KEDA's metrics server, which is not available here, would."""

import json
from typing import Any

import yaml

from support.kube.cluster import Cluster


def serve(monitoring: Cluster, scaled: dict[str, Any]) -> None:
    """Configure prometheus-adapter to serve the triggers' queries under the names of KEDA's metrics, beside its own."""
    config = yaml.safe_load(monitoring.get("configmap", "prometheus-adapter")["data"]["config.yaml"])
    config["externalRules"] = [
        {
            "seriesQuery": '{__name__="triton:queue_compute:ratio"}',
            "resources": {"template": "<<.Resource>>"},
            "name": {"as": f"s{number}-{trigger['type']}"},
            "metricsQuery": trigger["metadata"]["query"],
        }
        for number, trigger in enumerate(scaled["spec"]["triggers"])
    ]
    patch = json.dumps({"data": {"config.yaml": json.dumps(config)}})
    monitoring.kubectl("patch", "configmap", "prometheus-adapter", f"--patch={patch}")
    monitoring.kubectl("rollout", "restart", "deployment/prometheus-adapter")
    monitoring.kubectl("rollout", "status", "deployment/prometheus-adapter", "--timeout=50s")
