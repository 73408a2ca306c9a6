"""Target: the data of `hpa_sync` events, as the audit of the autoscaler reads it."""

import json
from dataclasses import replace

import numpy as np

from loadgen.analyze.audit.audit import audit
from loadgen.analyze.observed import Event, Series, Tables
from loadgen.analyze.prepare import observe
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.names import EventKind
from loadgen.dataset.run_info import Autoscaler, ClusterInfo
from loadgen.dataset.tables import TABLES
from support.fuzz.damage import json_bytes
from support.fuzz.metrics import INFO
from support.fuzz.target import Target

_SYNC = {
    "current": 2,
    "desired": 2,
    "metric_milli": 161,
    "target_milli": 150,
    "conditions": [{"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale", "message": "x"}],
    "proposals": [{"pods": {"ready": 2, "missing": [], "unready": ["c"], "ignored": []}}],
    "inputs": {
        "scale": {"spec_replicas": 2, "status_replicas": 2},
        "pods": [{"name": "a"}, {"name": "b", "phase": "Pending", "ready": "False", "start_s": 1.5}],
        "readings": [{"milli": {"a": 161}}],
    },
}
_METRIC = {"type": "Pods", "pods": {"metric": {"name": "x"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
_SPEC = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
    "maxReplicas": 4,
    "metrics": [_METRIC],
}
_STATUS = {
    **{key: _SYNC[key] for key in ("current", "desired", "metric_milli", "target_milli", "conditions")},
    "current_metrics": [{"type": "Pods", "pods": {"metric": {"name": "x"}, "current": {"averageValue": "161m"}}}],
    "spec": _SPEC,
}
_LOCAL = INFO.model_copy(
    update={
        "load_start_s": 1.0,
        "autoscaler": Autoscaler(
            metric="ratio",
            target=0.15,
            min_replicas=1,
            max_replicas=4,
            sync_period_s=15.0,
            rate_window_s=60.0,
            scrape_interval_s=5.0,
            scale_down_window_s=300.0,
        ),
    }
)
_MANIFEST = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "x"},
    "spec": _SPEC,
}
_CLUSTER = ClusterInfo(
    kind="Deployment",
    workload="x",
    namespace="x",
    context="x",
    hpa="x",
    hpa_manifest=_MANIFEST,
    endpoint="x",
    balances="requests",
)


def _audit(text: bytes) -> None:
    """Audit a local run, and one on a cluster, in which three syncs have this data."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(data, dict):
        return
    first = Event(t_s=2.0, kind=EventKind.HPA_SYNC, pod=None, reason=None, message=None, data=data)
    events = (first, replace(first, t_s=5.0), replace(first, t_s=50.0))
    frames = {name: TABLES[name].empty_table() for name in TABLES}
    for cluster in (None, _CLUSTER):
        run = observe(_LOCAL.model_copy(update={"cluster": cluster}), Tables(**frames))
        run = replace(run, events=events, last_s=100.0)
        audit(run, fleet(run), (), Series(np.empty(0), np.empty(0)))


TARGETS = (
    Target(
        name="hpa-sync",
        valid=(json.dumps(_SYNC).encode(), json.dumps(_STATUS).encode()),
        inputs=json_bytes(_SYNC, _STATUS),
        parse=_audit,
        calls=(
            "loadgen.analyze.audit.syncs:recorded_syncs",
            "loadgen.analyze.audit.syncs:_counted",
            "loadgen.autoscale.record:parse_inputs",
        ),
        measured=False,
    ),
)
