"""Targets: answers of the Kubernetes API, kubeconfigs, values of the chart, and HPA manifests."""

import json
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import strategies as st

from loadgen.autoscale.manifest import parse_hpa
from loadgen.kube.client.credentials import load_credentials
from loadgen.kube.client.response import Response, document, error_message, parse_date
from loadgen.kube.deploy.values import parse_set, read_values
from loadgen.kube.observe.watches import renew_time_s
from support.fuzz import cluster_objects
from support.fuzz.damage import damaged, damaged_text, json_bytes, yaml_bytes
from support.fuzz.kubernetes_objects import (
    MANIFEST,
)
from support.fuzz.target import Target


def _response(body: bytes) -> None:
    for status in (200, 302, 403, 500):
        message = error_message(
            Response(status, {"content-type": "application/json"}, body), cluster_objects.API_SERVER
        )
        assert len(message.splitlines()) == 1, message
        assert len(message) < 600
    document(Response(200, {}, body), cluster_objects.API_SERVER)


_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [
        {
            "name": "k",
            "cluster": {
                "server": "https://127.0.0.1:6443",
                "proxy-url": "http://127.0.0.1:3128",
                "insecure-skip-tls-verify": True,
            },
        }
    ],
    "users": [{"name": "u", "user": {"token": "some-secret-token", "username": "a", "password": "b"}}],
}


def _kubeconfig(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config"
        file.write_bytes(body)
        with patch.dict("os.environ", {"KUBECONFIG": str(file)}):
            load_credentials(None)


def _values(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_bytes(body)
        json.dumps(read_values(file, file))  # as for helm


_VALUES = {"mode": "engine", "image": {"tag": "26.07-py3"}, "server": {"env": [{"name": "A", "value": "1"}]}}

TARGETS = (
    *cluster_objects.TARGETS,
    Target(
        name="kubernetes-response",
        valid=(b'{"kind": "Status", "message": "pods is forbidden"}',),
        inputs=json_bytes({"kind": "Status", "message": "a\nb", "code": 403}) | st.just(b"<html>\n<body>\n"),
        parse=_response,
        calls=("loadgen.kube.client.response:document", "loadgen.kube.client.response:error_message"),
    ),
    Target(
        name="kubernetes-lease",
        valid=(json.dumps({"spec": {"renewTime": "2026-11-30T10:00:00.123456Z"}}).encode(),),
        inputs=json_bytes({"spec": {"renewTime": "2026-11-30T10:00:00.123456Z"}}),
        parse=renew_time_s,
        calls=("loadgen.kube.observe.watches:renew_time_s",),
        errors=(),
    ),
    Target(
        name="date-header",
        valid=("Mon, 30 Nov 2026 10:00:00 GMT",),
        inputs=damaged_text("Mon, 30 Nov 2026 10:00:00 GMT", "30 Nov 9999 23:59:59 -2359"),
        parse=parse_date,
        calls=("loadgen.kube.client.response:parse_date",),
        errors=(),
    ),
    Target(
        name="kubeconfig",
        examples=8,
        valid=(json.dumps(_KUBECONFIG).encode(),),
        inputs=yaml_bytes(_KUBECONFIG),
        parse=_kubeconfig,
        calls=(
            "loadgen.kube.client.credentials:_from_kubeconfig",
            "loadgen.kube.client.credentials:_require_yaml",
            "loadgen.kube.client.credentials:choose_proxy",
            "loadgen.base.urls:without_user",
        ),
    ),
    Target(
        name="chart-values",
        examples=10,
        valid=(json.dumps(_VALUES).encode(),),
        inputs=yaml_bytes(_VALUES),
        parse=_values,
        calls=("loadgen.kube.deploy.values:read_values", "loadgen.kube.deploy.values:merge"),
    ),
    Target(
        name="set-option",
        valid=("autoscaling.maxReplicas=8", 'a.b=[1, {"x": y}]'),
        inputs=damaged_text("autoscaling.maxReplicas=8", "a={b: 2026-11-30}", "a=&x [*x]", "a=2026-13-45"),
        parse=lambda text: json.dumps(parse_set(text)),
        calls=("loadgen.kube.deploy.values:parse_set",),
    ),
    Target(
        name="hpa-manifest",
        valid=(MANIFEST,),
        inputs=damaged(MANIFEST),
        parse=parse_hpa,
        calls=("loadgen.autoscale.manifest:parse_hpa", "loadgen.base.quantity:parse_quantity"),
    ),
)
