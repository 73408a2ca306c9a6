"""`loadgen lint` on manifests: known setups, bad inputs, output and exit codes."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import ExitCode, SettingsError
from loadgen.cli import main
from loadgen.lint.chart_values import CHART_VALUES
from loadgen.lint.codes import ALL
from loadgen.lint.lint import lint
from loadgen.lint.manifests import read_input
from loadgen.lint.objects import read_objects
from loadgen.lint.reference import markdown
from support.yaml_files import read_yaml

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "tests" / "support" / "lint"
GOOD, TUTORIAL = MANIFESTS / "good.yaml", MANIFESTS / "tutorial.yaml"


def codes(name: str) -> dict[str, set[str]]:
    """Codes of a file of manifests, by severity."""
    found = lint(read_objects(read_input(str(MANIFESTS / name)).manifests)).pitfalls
    return {
        severity: {each.declared.code for each in found if each.severity == severity}
        for severity in ("error", "warning")
    }


def test_the_reference_tutorial() -> None:
    """The known faults of the tutorial are found, and nothing else."""
    assert codes("tutorial.yaml") == {
        "error": {
            "query.per_model",  # the ratio has a series for each model
            "adapter.sums_series",  # and the adapter's default rule adds them up
            "autoscaler.replicas_field",  # `replicas: 1` in the template
            "probe.kills_loading",  # after 40 s
        },
        "warning": {
            "query.per_model",  # the averages, for the dashboard
            "query.floor",  # `clamp_min(rate(nv_inference_request_success[1m]), 1)` in the averages
            "monitor.interval",
            "metric.target_default",
            "metric.ratio_only",
            "hpa.no_behavior",
            "pod.grace_default",
            "pod.no_prestop",
            "pod.shared_memory",  # mounted in the init container only
            "disruption.none",
            "traffic.grpc_per_connection",
        },
    }


def test_the_on_premises_chart_of_triton() -> None:
    """An old version of the API, a query that means over models and counts one request too many, and one namespace."""
    assert codes("onprem.yaml") == {
        "error": {"hpa.version", "query.mean_of_ratios", "query.floor", "adapter.namespace"},
        "warning": {"hpa.no_behavior"},
    }


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Each pitfall is printed with evidence, consequence and fix; errors come first."""
    assert main(["lint", str(TUTORIAL)]) == ExitCode.FAIL
    out, err = capsys.readouterr()
    lines = out.splitlines()
    at = lines.index("error: probe.kills_loading")
    assert lines[at + 1] == f"  Deployment llama-3-8b-instruct in namespace default ({TUTORIAL})"
    assert lines[at + 2].startswith("  spec.template.spec.containers[0].livenessProbe: initialDelaySeconds 10")
    assert lines[at + 3].startswith("  Triton does not listen until")
    assert lines[at + 4].startswith("  Add `startupProbe:")
    severities = [line.partition(":")[0] for line in lines if line.startswith(("error:", "warning:"))]
    assert severities == sorted(severities)
    assert lines[-1] == f"4 errors, {len(severities) - 4} warnings"
    assert "checked Deployment llama-3-8b-instruct, HorizontalPodAutoscaler llama-3-8b-instruct" in err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one document."""
    assert main(["lint", str(TUTORIAL), "--json"]) == ExitCode.FAIL
    document = json.loads(capsys.readouterr().out)
    assert (document["errors"], document["unread"]) == (4, {})
    assert document["errors"] + document["warnings"] == len(document["pitfalls"])
    first = document["pitfalls"][0]
    assert set(first) == {
        "code", "severity", "file", "kind", "namespace", "name", "field", "value", "chart_value", "consequence", "fix",
    }  # fmt: skip
    assert all(isinstance(value, str) and (value or name == "chart_value") for name, value in first.items())


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings exit with 0, with `--strict` with 1; errors with 1; nothing with 0."""
    assert main(["lint", str(GOOD)]) == ExitCode.PASS
    assert main(["lint", str(GOOD), "--strict"]) == ExitCode.PASS
    assert capsys.readouterr().out.splitlines() == ["no pitfalls found"] * 2
    warned = tmp_path / "warned.yaml"
    warned.write_text(GOOD.read_text().replace("averageValue: 150m", "averageValue: 1000m"))
    assert main(["lint", str(warned)]) == ExitCode.PASS
    assert main(["lint", str(warned), "--strict"]) == ExitCode.FAIL


def test_a_folder_and_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objects of all files of a folder belong together, as do those of several inputs; other files are ignored."""
    parts = GOOD.read_text().split("\n---\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "values.yaml").write_text("replicas: 3")
    (tmp_path / "README.md").write_text("{{ not YAML")
    (tmp_path / "one.yaml").write_text("\n---\n".join(parts[:4]))
    (tmp_path / "more" / "two.yml").write_text("\n---\n".join(parts[4:]))
    assert main(["lint", str(tmp_path), "--strict"]) == ExitCode.PASS
    monkeypatch.setattr("sys.stdin", io.StringIO("\n---\n".join(parts[4:])))
    assert main(["lint", str(tmp_path / "one.yaml"), "-", "--strict"]) == ExitCode.PASS
    assert capsys.readouterr().out.splitlines() == ["no pitfalls found"] * 2


def test_an_object_that_is_given_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is one object, and not two autoscalers of one workload; the last one counts."""
    assert main(["lint", str(GOOD), str(GOOD), "--strict"]) == ExitCode.PASS
    fixed = tmp_path / "fixed.yaml"
    fixed.write_text(GOOD.read_text().replace("maxReplicas: 8", "maxReplicas: 2"))
    assert main(["lint", str(fixed), str(GOOD), "--strict"]) == ExitCode.PASS
    assert main(["lint", str(GOOD), str(fixed), "--strict"]) == ExitCode.FAIL
    assert "hpa.fixed" in capsys.readouterr().out


def test_a_list_of_objects(tmp_path: Path) -> None:
    """`kubectl get -o json` prints a List."""
    items = [each for _, each in read_input(str(GOOD)).manifests]
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert lint(read_objects(read_input(str(file)).manifests)).pitfalls == []
    assert len(lint(read_objects(read_input(str(file)).manifests)).checked) == 5


def test_objects_without_a_namespace_are_in_that_of_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`helm template` leaves the namespace out."""
    file = tmp_path / "one.yaml"
    file.write_text(TUTORIAL.read_text().replace(", namespace: default", ""))
    assert main(["lint", str(file), "--namespace", "serving"]) == ExitCode.FAIL
    assert "in namespace serving (" in capsys.readouterr().out


def test_a_rule_file_of_prometheus(tmp_path: Path) -> None:
    """Rules that the operator does not manage are read as well; on their own, they are judged as if they were read."""
    (_, rule), *_ = (each for each in read_input(str(TUTORIAL)).manifests if each[1]["kind"] == "PrometheusRule")
    file = tmp_path / "triton.rules.yaml"
    file.write_text(json.dumps(rule["spec"]))
    found = lint(read_objects(read_input(str(file)).manifests)).pitfalls
    assert {(each.declared.code, each.severity) for each in found} == {
        ("query.per_model", "error"),
        ("query.floor", "error"),
    }
    assert {each.name for each in found} == {"triton.rules"}


def test_the_values_behind_pitfalls_exist() -> None:
    """Each value that is named for a pitfall is one of the chart's."""
    values = read_yaml(ROOT / "charts" / "triton-trtllm" / "values.yaml")
    assert set(CHART_VALUES) <= {each.code for each in ALL}
    for path in CHART_VALUES.values():
        part = values
        for key in path.split("."):
            assert key in part, path
            part = part[key]


HPA = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec: {maxReplicas: 2}"
BAD: dict[str, tuple[str, str]] = {
    "not YAML": ("a: [b", "is not valid YAML"),
    "a template": ("a: {{ .Values.b }}\nc: {{ d }", "render templates first, as `helm template` does"),
    "the second document": ("a: 1\n---\nb: [", "(document 2) is not valid YAML"),
    "empty": ("", "is empty: give manifests"),
    "comments": ("# nothing\n---\n# here\n", "is empty: give manifests"),
    "a list": ("- a\n- b", "has no objects of Kubernetes (with kind and apiVersion)"),
    "a text": ("hello", "has no objects of Kubernetes (with kind and apiVersion)"),
    "nested too deeply": ("[" * 300 + "]" * 300, "is nested too deeply"),
    "only other objects": (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}",
        "there is nothing to check: no workload that looks like Triton",
    ),
    "a kind of two lines": ('apiVersion: v1\nkind: "a\\nb"', "the kinds of the objects are: a b"),
    "a Deployment of something else": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"
        "spec: {selector: {}, template: {spec: {containers: [{name: a, image: nginx}]}}}",
        "the kinds of the objects are: Deployment",
    ),
    "a field of the wrong type": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"
        "spec: {selector: {}, template: {spec: {containers: 5}}}",
        "has an object that the API server would refuse (deployments a: spec.template.spec.containers",
    ),
    "an object without a name": (
        "apiVersion: v1\nkind: Service\nspec: {}",
        "has an object that the API server would refuse (services: metadata: Field required): correct it",
    ),
    "an HPA without a target": (HPA, "spec.scaleTargetRef: Field required"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_input(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence that says what is wrong with which file, and exit code 2."""
    file = tmp_path / "input.yaml"
    file.write_text(text)
    assert main(["lint", str(file)]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err


def test_bad_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, a pipe, binary data, an empty folder, a chart, and no input at all."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: a")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    expected = {
        "missing.yaml": "cannot read missing.yaml: No such file or directory; give a file, a folder, or -",
        "pipe": "pipe is neither a file nor a folder",
        "binary.yaml": "cannot read binary.yaml: it is not text in UTF-8",
        "empty": "empty has no file with objects of Kubernetes",
        "chart": "chart is a chart and not its manifests: pipe what `helm template` prints",
    }
    for path, message in expected.items():
        assert main(["lint", path]) == ExitCode.USAGE
        err = capsys.readouterr().err
        assert message in err
        assert len(err.splitlines()) == 1
    assert main(["lint"]) == ExitCode.USAGE
    assert "nothing to check: give a file of values, manifests, a folder, -, or --namespace" in capsys.readouterr().err


def test_flags_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """`--set` is for values, and `--context` for a cluster."""
    assert main(["lint", str(GOOD), "--set", "mode=emulated"]) == ExitCode.USAGE
    assert "--set is for values of the chart" in capsys.readouterr().err
    assert main(["lint", str(GOOD), "--context", "a"]) == ExitCode.USAGE
    assert "--context is for a live namespace" in capsys.readouterr().err


def test_values_need_helm(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping without kind is a file of values, which only helm can render."""
    (tmp_path / "values.yaml").write_text("mode: emulated")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["lint", str(tmp_path / "values.yaml")]) == ExitCode.TOOL
    assert "helm is not on PATH" in capsys.readouterr().err


def test_the_reference_is_up_to_date() -> None:
    """docs/lint.md equals the text that is generated from the declarations."""
    file = ROOT / "docs" / "lint.md"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(markdown(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == markdown(), (
        "docs/lint.md is out of date: run `UPDATE_GOLDEN=1 uv run pytest tests/unit/lint`"
    )


def test_declarations() -> None:
    """Codes are unique, and consequence and fix are one sentence each."""
    assert len({each.code for each in ALL}) == len(ALL)
    for each in ALL:
        subject, _, name = each.code.partition(".")
        assert subject.isidentifier()
        assert name.isidentifier()
        for text in (each.consequence, each.fix):
            assert text[0].isupper(), text
            assert text.endswith("."), text
            assert ". " not in text.replace("`", ""), text


def test_an_error_of_an_object_names_its_file() -> None:
    """Several files are told apart."""
    broken: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": 5}}
    with pytest.raises(SettingsError, match=r"^b\.yaml has an object"):
        read_objects([("b.yaml", broken)])
