"""Targets: files of users, run folders, and files of cached programs."""

import json
import math
import struct
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from loadgen_reports.write import write_reports

from loadgen.analyze.read import analyze_folder
from loadgen.base.headers import parse_headers
from loadgen.base.log_tail import log_tail
from loadgen.base.yaml_text import parse_yaml
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.tables import TABLES
from loadgen.load.prompts import read_jsonl
from loadgen.local.engine.fill import read_profile
from loadgen.local.engine.profile import load_profile, profile_names
from loadgen.programs.manifest import changed_since_installed, damaged_file, incomplete_program, write_manifest
from loadgen.sandbox.kubelet.container.images import parse_image_table
from support.fuzz.damage import damaged_bytes, damaged_text, json_bytes, yaml_bytes
from support.fuzz.metrics import INFO
from support.fuzz.target import Target

_PROMPT = {"prompt": "Hello", "max_tokens": 16, "input_tokens": 4}
_INFO = INFO.model_copy(
    update={
        "load_start_s": 1.0,
        "load_end_s": 11.0,
        "state": "finished",
        "expected_rows": 2,
        "settings": {"request_timeout_s": 30.0, "settle_s": 5.0},
        "seeds": {"arrivals": 1},
        "versions": {"python": "3.12"},
    }
)
_RUN = {
    **json.loads(_INFO.model_dump_json()),
    "stages": [{"name": "peak", "start_s": 0.0, "end_s": 10.0}],
    "limits": [{"metric": "ttft", "statistic": "p95", "limit": 1.0}],
    "autoscaler": {
        "metric": "ratio",
        "target": 0.15,
        "min_replicas": 1,
        "max_replicas": 4,
        "sync_period_s": 15.0,
        "rate_window_s": 60.0,
        "scrape_interval_s": 5.0,
        "scale_down_window_s": 300.0,
    },
}
_ROWS: dict[str, list[dict[str, Any]]] = {
    "requests": [
        {
            "request_id": number,
            "worker": 0,
            "scheduled_s": 1.0 + number,
            "sent_s": 1.0 + number,
            "first_token_s": 1.5 + number,
            "last_token_s": 2.0 + number,
            "ended_s": 2.0 + number,
            "outcome": "ok",
            "cause": None,
            "input_tokens": 8,
            "max_tokens": 4,
            "output_tokens": 2,
            "token_source": "server",
        }
        for number in range(2)
    ],
    "tokens": [{"request_id": 0, "t_s": [1.5, 2.0]}, {"request_id": 1, "t_s": [2.5, 3.0]}],
    "samples": [{"t_s": float(t), "signal": "queue_compute_ratio", "pod": "a", "value": 0.5} for t in range(1, 12)],
    "events": [
        {
            "t_s": 2.0,
            "kind": "hpa_rescale",
            "pod": None,
            "reason": None,
            "message": "x",
            "data": '{"before": 1, "after": 2}',
        },
        {"t_s": 3.0, "kind": "replica_ready", "pod": "a", "reason": None, "message": None, "data": None},
    ],
}
_NUMBERS = st.sampled_from((math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, -1e300, 5e-324))
_WORDS = st.sampled_from(
    ("", "ok", "error", "\x1b[1m", "x" * 1000, "[]", '{"before": null}', '{"after": "x"}', "null", "[" * 5000)
)


@st.composite
def _tables(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Rows with values that no run records: times that are not finite or in disorder, unknown words, missing values."""
    tables = {name: [dict(row) for row in rows] for name, rows in _ROWS.items()}
    for _ in range(draw(st.integers(0, 4))):
        table = draw(st.sampled_from(sorted(tables)))
        rows = tables[table]
        if not rows or draw(st.integers(0, 9)) == 0:
            tables[table] = []
            continue
        row = draw(st.sampled_from(rows))
        field = draw(st.sampled_from([*TABLES[table]]))
        if field.nullable and draw(st.booleans()):
            row[field.name] = None
        elif pa.types.is_floating(field.type):
            row[field.name] = draw(_NUMBERS)
        elif pa.types.is_integer(field.type):
            row[field.name] = draw(st.sampled_from((-1, 0, 2**15 - 1)))
        elif pa.types.is_list(field.type):
            row[field.name] = draw(st.lists(_NUMBERS, max_size=3))
        else:
            row[field.name] = draw(_WORDS)
    return tables


def _report(drawn: tuple[bytes, dict[str, list[dict[str, Any]]], bytes | None]) -> None:
    info, tables, part = drawn
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.json").write_bytes(info)
        for table, rows in tables.items():
            (folder / table).mkdir()
            file = folder / table / "part-a-000000.parquet"
            pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[table]), file)
            if part is not None and table == "samples":
                file.write_bytes(part)
        write_reports(analyze_folder(RunFolder.open(folder)), folder, ("json", "markdown", "junit"))


def _part() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(_ROWS["samples"], schema=TABLES["samples"]), sink)
    return bytes(sink.getvalue())


def _prompts(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompts.jsonl"
        file.write_bytes(body)
        for line in read_jsonl(file):
            line.prompt.encode()


def _profile(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profile.yaml"
        file.write_bytes(body)
        load_profile(file)


def _cache(drawn: tuple[str, bytes]) -> None:
    """A damaged description of a cached program names a file, and is never accepted as another program's."""
    name, body = drawn
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "program").write_bytes(_ELF)
        (Path(folder) / "a-1.dist-info").mkdir()
        write_manifest(Path(folder))
        if name == "program":
            (Path(folder) / name).write_bytes(body)
            assert (damaged_file(Path(folder), ["program"]) is None) == (body == _ELF)
        else:
            (Path(folder) / name).write_bytes(body)
        damaged_file(Path(folder), ["program"])
        changed_since_installed(Path(folder))
        incomplete_program(Path(folder), ["program"])


def _log(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.log"
        file.write_bytes(body)
        assert len(log_tail(file)) <= 3 * 520


_ELF = (
    b"\x7fELF\x02\x01"
    + bytes(26)
    + struct.pack("<QQ", 64, 0)
    + bytes(6)
    + struct.pack("<HHHH", 56, 1, 0, 0)
    + bytes(2 + 56)
)
_RECORD = b"../../bin/go,sha256=abc,1\nprogram,sha256=x,2\na-1.dist-info/RECORD,,\n"
_MANIFEST = {"program": [33188, len(_ELF), "0" * 64, [1, 2, 3]]}
_PROFILE = {
    "name": "p",
    "title": "P",
    "source": "s",
    "bls_instance_count": 4,
    "engine": {"max_batch_size": 8},
}
_OF_PACKAGE = load_profile(profile_names()[0])
_CHART_PROFILE = {
    "name": "p",
    "blsInstances": 4,
    "engine": json.loads(json.dumps(asdict(_OF_PACKAGE.engine))),
}

_IMAGES = [{"match": "busybox:.*", "entrypoint": ["/bin/sh"], "pull_s": 1.5, "env": {"A": "b"}}]

TARGETS = (
    Target(
        name="prompts-file",
        valid=(json.dumps(_PROMPT).encode() + b"\n\n",),
        inputs=json_bytes(_PROMPT),
        parse=_prompts,
        calls=("loadgen.load.prompts:read_jsonl",),
    ),
    Target(
        name="run-folder",
        valid=((json.dumps(_RUN).encode(), _ROWS, None),),
        inputs=st.one_of(
            st.tuples(st.just(json.dumps(_RUN).encode()), _tables(), st.none()),
            st.tuples(json_bytes(_RUN), st.just(_ROWS), st.none()),
            st.tuples(st.just(json.dumps(_RUN).encode()), st.just(_ROWS), damaged_bytes(_part())),
        ),
        parse=_report,
        calls=(
            "loadgen.dataset.folder:RunFolder.read_info",
            "loadgen.dataset.folder:RunFolder.read",
            "loadgen.analyze.prepare:observe",
            "loadgen.analyze.prepare:_json",
        ),
        examples=8,
        measured=False,
    ),
    Target(
        name="headers",
        valid=("Authorization: Bearer x\nX-Tenant: a\n",),
        inputs=damaged_text("Authorization: Bearer x\nX-Tenant: a\n"),
        parse=parse_headers,
        calls=("loadgen.base.headers:parse_headers",),
        errors=(ValueError,),
    ),
    Target(
        name="yaml",
        examples=12,
        valid=("a: [1, {b: c}]\nd: &x {e: 2026-11-30}\nf: *x\n",),
        inputs=yaml_bytes({"a": [1, {"b": "c"}], "d": {"e": "f"}}).map(lambda body: body.decode(errors="replace")),
        parse=lambda text: json.dumps(parse_yaml(text)),
        calls=("loadgen.base.yaml_text:parse_yaml",),
        errors=(ValueError,),
    ),
    Target(
        name="engine-profile",
        examples=8,
        valid=((Path(__file__).parents[3] / "loadgen/local/engine/profiles").glob("*.yaml").__next__().read_bytes(),),
        inputs=yaml_bytes(_PROFILE),
        parse=_profile,
        calls=("loadgen.local.engine.profile:load_profile",),
    ),
    Target(
        name="engine-profile-of-chart",
        valid=(json.dumps(_CHART_PROFILE).encode(),),
        inputs=json_bytes(_CHART_PROFILE),
        parse=lambda body: read_profile(body.decode(errors="replace")),
        calls=("loadgen.local.engine.fill:read_profile",),
        errors=(ValueError,),
    ),
    Target(
        name="image-table",
        examples=8,
        valid=(yaml.safe_dump(_IMAGES).encode(),),
        inputs=yaml_bytes(_IMAGES),
        parse=lambda body: parse_image_table(body.decode(errors="replace")),
        calls=("loadgen.sandbox.kubelet.container.images:parse_image_table",),
    ),
    Target(
        name="cached-program",
        valid=(("program", _ELF), (".manifest", json.dumps(_MANIFEST).encode()), ("a-1.dist-info/RECORD", _RECORD)),
        inputs=st.one_of(
            st.tuples(st.just("program"), damaged_bytes(_ELF)),
            st.tuples(st.just(".manifest"), json_bytes(_MANIFEST)),
            st.tuples(
                st.just("a-1.dist-info/RECORD"),
                damaged_bytes(_RECORD, b"/dev/zero,sha256=x,1\n", b"a\x00b,sha256=x,1\n"),
            ),
        ),
        parse=_cache,
        calls=(
            "loadgen.programs.manifest:damaged_file",
            "loadgen.programs.manifest:changed_since_installed",
            "loadgen.programs.manifest:incomplete_program",
            "loadgen.programs.manifest:_is_whole_elf",
        ),
    ),
    Target(
        name="log",
        valid=(b"a\npanic: x\n\ngoroutine 1:\n\tmain.go:1\n",),
        inputs=damaged_bytes(b"a\npanic: x\n\ngoroutine 1:\n\tmain.go:1\n"),
        parse=_log,
        calls=("loadgen.base.log_tail:log_tail",),
    ),
)
