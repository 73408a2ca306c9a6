"""Targets: settings, URLs, quantities, environment variables and other short texts."""

from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from loadgen.archive.store import Store
from loadgen.base.proxies import bypasses, proxy_for
from loadgen.base.quantity import parse_bytes, parse_milli, parse_quantity
from loadgen.base.text import clean, printable
from loadgen.base.urls import redacted
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.fleets import Kube
from loadgen.scenario.settings import Scenario
from support.fuzz.damage import damaged, damaged_text
from support.fuzz.target import Target

_SCENARIO = {
    "name": "a",
    "load": {"kind": "constant", "per_s": 1.0, "duration_s": 10.0},
    "slo": {"ttft_p95_s": 1.0},
    "prompts": {"input_tokens": {"kind": "fixed", "value": 5}},
    "target": "http://127.0.0.1:8000",
    "inputs": {"x": [1, 2]},
    "local": {"replicas": [1, 4]},
    "seeds": {"arrivals": 3},
}
_KUBE = {"namespace": "n", "endpoint": "grpc://triton.example:80", "prometheus": "monitoring/prometheus-operated:9090"}


def _scenario(settings: Any) -> None:
    if isinstance(settings, dict) and all(isinstance(each, str) for each in settings):
        Scenario(**settings)


def _kube(settings: Any) -> None:
    if isinstance(settings, dict) and all(isinstance(each, str) for each in settings):
        Kube(**settings)


def _url(text: str) -> None:
    Endpoint.parse(text, "http")


def _quantity(text: str) -> None:
    parse_quantity(text)
    parse_bytes(text)
    parse_milli(text)


def _proxy(drawn: tuple[str, str]) -> None:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    usable = [text.encode(errors="ignore").replace(b"\0", b"").decode() for text in drawn]  # as an environment can hold
    with patch.dict(
        "os.environ", dict(zip(names, (usable[0], usable[0], usable[0], usable[1]), strict=True)), clear=True
    ):
        bypasses("example.org", 443, usable[1])
        proxy_for("example.org", 443, tls=True)


def _shown(text: str) -> None:
    assert len(printable(text)) == len(text)
    printable(text).encode()
    line = clean(text)
    assert line.isprintable()
    assert len(line) <= 200
    redacted(text)


def _store(text: str) -> None:
    if text.startswith("file:") or "://" not in text:
        Store(text)


TARGETS = (
    Target(
        name="scenario",
        valid=(_SCENARIO,),
        inputs=damaged(_SCENARIO),
        parse=_scenario,
        calls=("loadgen.base.checked:Settings.__init__",),
    ),
    Target(
        name="kube-settings", valid=(_KUBE,), inputs=damaged(_KUBE), parse=_kube, calls=("loadgen.base.urls:parse_url",)
    ),
    Target(
        name="url",
        valid=("http://[::1]:8000/path", "grpcs://triton.example"),
        inputs=damaged_text("http://[::1]:8000/path", "https://triton.example:443", "grpc://10.0.0.1:8001?x#y"),
        parse=_url,
        calls=("loadgen.base.urls:parse_url", "loadgen.protocols.endpoint:Endpoint.parse"),
    ),
    Target(
        name="upload-url",
        valid=("file:///tmp",),
        inputs=damaged_text("file:///tmp", "s3:bucket", "runs"),
        parse=_store,
        calls=("loadgen.archive.store:Store.__init__",),
    ),
    Target(
        name="quantity",
        valid=("1500m", "4Gi", "-1e3"),
        inputs=damaged_text("1500m", "4Gi", "-1.5e3", "+.5Ei", "1E99"),
        parse=_quantity,
        calls=(
            "loadgen.base.quantity:parse_quantity",
            "loadgen.base.quantity:parse_milli",
            "loadgen.base.quantity:parse_bytes",
        ),
        errors=(ValueError,),
    ),
    Target(
        name="proxy-environment",
        valid=(("http://user:secret@127.0.0.1:3128", "10.0.0.0/8,.internal:8000"),),
        inputs=st.tuples(
            damaged_text("http://user:secret@127.0.0.1:3128"), damaged_text("10.0.0.0/8,.internal:8000,[::1]:80")
        ),
        parse=_proxy,
        calls=("loadgen.base.proxies:_usable", "loadgen.base.proxies:bypasses", "loadgen.base.proxies:proxy_for"),
        errors=(ValueError,),
    ),
    Target(
        name="shown-text",
        valid=("a \x1b[31mred\x1b[0m \ud800 http://user:secret@host/",),
        inputs=damaged_text("a [31mred http://user:secret@host/", "x" * 5000),
        parse=_shown,
        calls=("loadgen.base.text:printable", "loadgen.base.text:clean", "loadgen.base.urls:redacted"),
    ),
)
