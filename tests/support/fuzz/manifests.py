"""Targets: manifests and expressions that `loadgen lint` reads."""

import json
from pathlib import Path
from typing import Any

from loadgen.base.errors import SettingsError
from loadgen.lint.lint import lint
from loadgen.lint.manifests import documents_of
from loadgen.lint.objects import read_objects
from loadgen.lint.promql.parse import parse
from loadgen.lint.promql.tree import labels_of, walk
from support.fuzz.damage import damaged_bytes, damaged_text, json_bytes
from support.fuzz.kubernetes_objects import INGRESS, LWS, ROUTE, SCALED_OBJECT
from support.fuzz.target import Target
from support.yaml_files import read_documents

_FOLDER = Path(__file__).parents[1] / "lint"
_MORE = [
    {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", **LWS},
    {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", **SCALED_OBJECT},
    {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", **INGRESS},
    {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", **ROUTE},
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rules"},
        "data": {
            "rules.yml": '{"groups": [{"interval": "1m", "rules": [{"record": "a:b", "expr": "rate(nv_c[1m])"}]}]}',
            "prometheus.yml": '{"global": {"scrape_interval": "1m", "evaluation_interval": "1m"}, "scrape_configs": ['
            '{"job_name": "pods", "scrape_timeout": "10s", "kubernetes_sd_configs": [{"role": "pod"}]}]}',
            "values.yaml": '{"prometheus-adapter": {"rules": {"custom": [{"seriesQuery": "a"}]}}}',
        },
    },
    {
        "apiVersion": "autoscaling/v2beta1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "first"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
            "maxReplicas": 4,
            "metrics": [
                {"type": "Pods", "pods": {"metricName": "a", "targetAverageValue": "1"}},
                {"type": "External", "external": {"metricName": "b", "targetValue": "1", "metricSelector": {}}},
            ],
        },
    },
]
_SETUPS: list[Any] = [
    {"apiVersion": "v1", "kind": "List", "items": [*read_documents(_FOLDER / name), *more]}
    for name, more in (("good.yaml", _MORE), ("tutorial.yaml", []), ("onprem.yaml", []))
]
_TEXT = b"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n# a comment\n---\n- a\n...\n"
_EXPRESSIONS = (
    'sum by (pod) (rate(a{model=~"b|c"}[1m30s])) / clamp_min(sum by (pod) (rate(b[5m] offset 1h)), 1) >= bool 0.5',
    "-a ^ 2 or on (pod) group_left (x) b unless max_over_time(rate(c[5m])[1h:1m] @ end()) # comment",
)


def _lint(body: bytes) -> None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise SettingsError("not JSON") from None
    for each in lint(read_objects([("a.json", document)])).pitfalls:
        json.dumps(each.as_json())


def _expression(text: str) -> None:
    node = parse(text)
    if node is not None:
        labels_of(node)
        assert list(walk(node))


TARGETS = (
    Target(
        name="lint",
        valid=tuple(json.dumps(each).encode() for each in _SETUPS),
        inputs=json_bytes(*_SETUPS),
        parse=_lint,
        calls=(
            "loadgen.kube.objects.shapes:parsed",
            "loadgen.lint.adapter:_rules",
            "loadgen.lint.adapter:_rules_of",
            "loadgen.lint.prometheus_files:_parsed",
            "loadgen.lint.rule_files:_groups",
        ),
    ),
    Target(
        name="manifests",
        valid=(_TEXT,),
        inputs=damaged_bytes(_TEXT),
        parse=lambda body: documents_of("a.yaml", body.decode(errors="replace")),
        calls=("loadgen.base.yaml_text:parse_yaml_documents", "loadgen.lint.manifests:_documents"),
    ),
    Target(
        name="promql",
        valid=_EXPRESSIONS,
        inputs=damaged_text(*_EXPRESSIONS),
        parse=_expression,
        calls=("loadgen.lint.promql.parse:parse",),
    ),
)
