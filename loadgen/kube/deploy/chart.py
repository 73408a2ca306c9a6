"""Locates the bundled charts, and derives the values of `triton-trtllm` for the emulated replicas of a scenario."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadgen.base.errors import StackError
from loadgen.local.engine.config import EngineProfile
from loadgen.local.prometheus import duration
from loadgen.scenario.fleets import Local

_PRE_STOP_S = 3


def chart_folder(name: str = "triton-trtllm") -> Path:
    """Return the folder of a chart, in an installed package or in a checkout.

    Args:
        name: `triton-trtllm` or `loadgen`.

    Raises:
        StackError: the chart is not there.
    """
    package = Path(__file__).parents[2]
    for charts in (package / "charts", package.parent / "charts"):
        if (charts / name / "Chart.yaml").is_file():
            return charts / name
    raise StackError(f"the chart {name} is missing from this installation: reinstall triton-loadgen")


def emulated_values(settings: Local, profile: EngineProfile, *, name: str, tag: str) -> dict[str, Any]:
    """Return values of the chart for the emulated replicas of a scenario.

    Args:
        settings: The `local` settings of the scenario.
        profile: The engine to emulate.
        name: Name of all objects.
        tag: Image tag of the server.
    """
    grace_s = round(settings.grace_s)
    min_replicas, max_replicas = settings.replicas
    return {
        "mode": "emulated",
        "fullnameOverride": name,
        "image": {"tag": tag},
        "emulated": {
            "loadSeconds": settings.startup_delay_s,
            "profile": {
                "name": profile.name,
                "blsInstances": profile.bls_instance_count,
                "engine": asdict(profile.engine),
            },
        },
        "gpu": {"perPod": 1},
        "server": {
            "preStopSeconds": _PRE_STOP_S,
            "longestGenerationSeconds": max(1, grace_s - _PRE_STOP_S - 1),
            "terminationGracePeriodSeconds": max(grace_s, _PRE_STOP_S + 1),
            "resources": {},
            "sharedMemory": "64Mi",
            "probes": {"startup": {"periodSeconds": 1}, "readiness": {"periodSeconds": 1}},
        },
        "ingress": {"kind": "traefik", "host": "*"},
        "metrics": {"scrapeInterval": duration(settings.scrape_interval_s)},
        "rules": {
            "interval": duration(settings.scrape_interval_s),
            "window": duration(settings.rate_window_s),
        },
        "autoscaling": {
            "minReplicas": min_replicas,
            "maxReplicas": max_replicas,
            "metrics": {
                "ratio": {"target": f"{round(settings.ratio_target * 1000)}m"},
                "busy": {"enabled": False},
            },
            # the default policy of Kubernetes, which the local stack uses, too
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": round(settings.scale_down_window_s),
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                }
            },
        },
    }
