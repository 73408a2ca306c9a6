"""Wherever a name is looked up, the message proposes those that are like it, and lists those that exist."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment

from loadgen.autoscale.manifest import parse_hpa
from loadgen.base.errors import ExitCode, LoadgenError, SettingsError, TargetError
from loadgen.base.proposals import listed, meant
from loadgen.cli import main
from loadgen.kube.deploy.unknown_values import proposals
from loadgen.kube.discover.selection import choose_service, choose_workload
from loadgen.load.adapters.users import TritonUser
from loadgen.load.prompts import read_jsonl
from loadgen.local.engine.profile import load_profile
from loadgen.run.flags import add_flags, scenario_of, with_flags
from loadgen.run.option_checks import (
    BETWEEN_PROCESSES,
    WITHOUT_FLAG,
    check_command_line,
    check_environment,
    check_options,
)
from loadgen.scenario.fleets import Kube
from loadgen.scenario.prompts import Fixed, Uniform
from loadgen.scenario.settings import Scenario
from support.docs.commands import ROOT
from support.kube.workloads import WORKLOAD

LOAD = {"kind": "constant", "per_s": 1, "duration_s": 10}


class OwnUser(TritonUser):
    scenrio = Scenario(name="x", load=LOAD)


def hpa(**spec: object) -> dict[str, object]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "llm"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec},
    }


def scenario(**settings: object) -> Callable[[], object]:
    return lambda: Scenario(**{"name": "x", "load": LOAD, **settings})


@pytest.mark.parametrize(
    ("look_up", "says"),
    [
        # settings, also in plain dicts as they come from TOML or JSON
        (
            scenario(slos={}),
            "Scenario.slos: no such setting; check its spelling (did you mean slo?); the settings are ",
        ),
        (scenario(slo={"ttft_p96_s": 1}), "Slo.ttft_p96_s: no such setting; check its spelling (did you mean ttft_p99"),
        (scenario(local={"profle": "demo"}), "(did you mean profile?); the settings are profile, replicas, "),
        (scenario(kube={"name_space": "a"}), "Kube.name_space: no such setting; check its spelling (did you mean name"),
        (scenario(seeds={"prompt": 1}), "(did you mean prompts?); the settings are arrivals, prompts"),
        (
            scenario(load={"kind": "sum", "parts": [{"kind": "constant", "pers": 1}]}),
            "Constant.pers: no such setting; check its spelling (did you mean per_s?); the settings are per_s, dura",
        ),
        (
            scenario(load={"kind": "waev"}),
            "Scenario.load: no such kind 'waev' (did you mean wave?); the kinds are 'con",
        ),
        (scenario(load={"per_s": 1}), "Scenario.load: the kind is missing"),
        (scenario(prompts={"input_tokens": {"kind": "unifrm"}}), "no such kind 'unifrm' (did you mean uniform?)"),
        (scenario(prompts={"input_tokens": {"kind": "uniform", "lo": 1}}), "Uniform.lo: no such setting"),
        (lambda: Uniform(lo=1, high=2), "(did you mean low?); the settings are low, high"),
        (lambda: Fixed(val=1), "(did you mean value?)"),
        (scenario(arrivals="poison"), "input should be 'poisson' or 'even', got 'poison' (did you mean poisson?)"),
        (scenario(reports=("htlm",)), "got 'htlm' (did you mean html?)"),
        (scenario(target="locl"), "or 'local', 'sandbox' or 'kube' (did you mean local?)"),
        (lambda: Kube(endpoint="ingres"), "'ingres' is invalid (did you mean ingress?): set it to auto, ingress, "),
        # what a locustfile says
        (
            lambda: scenario_of([OwnUser]),
            "OwnUser has no scenario (did you mean it with OwnUser.scenrio?): write `scen",
        ),
        # engine profiles
        (lambda: load_profile("dmeo"), "no engine profile 'dmeo' (did you mean demo?): choose one of a100-fp16-llama"),
        # HPA manifests
        (lambda: parse_hpa(hpa(behaviour={})), "no such field (did you mean behavior?); the fields are scaleTargetRef"),
        (
            lambda: parse_hpa(hpa(metrics=[{"type": "Resource", "resource": {"name": "cpu", "targt": {}}}])),
            "no such field (did you mean target?); the fields are name, target",
        ),
        # objects of a cluster
        (
            lambda: choose_workload(
                [{"kind": "Deployment", "metadata": {"name": "llm-triton"}}], name="lm-triton", location="in llm"
            ),
            "no Deployment or LeaderWorkerSet lm-triton in llm (did you mean llm-triton?): Deployment llm-triton",
        ),
    ],
)
def test_misspelled_names(look_up: Callable[[], object], says: str) -> None:
    """The message has the near name and the others, on one line, and the exit code is that of wrong usage."""
    with pytest.raises(LoadgenError) as caught:
        look_up()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"prompt": "a", "max_token": 8}',
            "no such key 'max_token' (did you mean max_tokens?); the keys are prompt, m",
        ),
        ('{"prompt": "a", "max-tokens": 8}', "no such key 'max-tokens' (did you mean max_tokens?)"),
        ('{"Prompt": "a"}', "no such key 'Prompt' (did you mean prompt?)"),
        (
            '{"text": "a", "id": 1}',
            "prompt: field required, and the line has only the keys text, id; the keys are prom",
        ),
    ],
)
def test_misspelled_keys_of_a_prompts_file(line: str, says: str, tmp_path: Path) -> None:
    """A misspelled key is refused with the number of its line: its value would be ignored."""
    file = tmp_path / "prompts.jsonl"
    file.write_text(f'{{"prompt": "a"}}\n{line}\n')
    with pytest.raises(SettingsError, match="line 2: ") as caught:
        read_jsonl(file)
    assert says in str(caught.value)


def test_other_keys_of_a_data_set_are_ignored(tmp_path: Path) -> None:
    """A file may have columns that are not ours, also such as are somewhat like ours."""
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "id": 1, "output_tokens": 5, "prompt_id": 2, "tokens": 3, "max_tokens": 8}\n')
    assert read_jsonl(file)[0].max_tokens == 8


def test_misspelled_keys_of_a_profile(tmp_path: Path) -> None:
    """At any depth, the keys of that part are proposed."""
    text = (ROOT / "loadgen" / "local" / "engine" / "profiles" / "demo.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("base_s:", "bas_s:"))
    with pytest.raises(
        SettingsError, match=r"engine\.step\.bas_s: no such key \(did you mean base_s\?\); the keys are "
    ):
        load_profile(file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["reprot", "x"], "invalid choice: 'reprot' (did you mean report?); choose from report, settings, selftest, "),
        (["sandbox", "biuld"], "loadgen sandbox: error: argument verb: invalid choice: 'biuld' (did you mean build?)"),
        (
            ["report", "x", "--jsn"],
            "loadgen report: error: unrecognized argument --jsn (did you mean --json?); the fla",
        ),
        (["sandbox", "up", "--nods=3"], "unrecognized argument --nods (did you mean --nodes or"),
        (
            ["deploy", "--namspace", "x"],
            "loadgen deploy: error: unrecognized argument --namspace (did you mean --names",
        ),
        (["clean", "all"], "loadgen clean: error: unrecognized arguments: all"),
        (["report", "x", "--reports", "htlm"], "no report format 'htlm' (did you mean html?): choose from json, html"),
    ],
)
def test_misspelled_commands_and_flags(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, flags and choices of `loadgen`: the subcommand itself reports them, with the exit code of usage."""
    try:
        code: object = main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == ExitCode.USAGE
    assert says in capsys.readouterr().err


def locust_parser() -> argparse.ArgumentParser:
    parser = get_empty_argument_parser(add_help=False)
    setup_parser_arguments(parser)
    add_flags(parser)
    check_command_line(parser)
    return parser


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--targt", "local"], "Did you mean '--target'?"),
        (["--kube-namespce", "x"], "Did you mean '--kube-namespace'?"),
        (["--protocol", "grcp"], "invalid choice: 'grcp'"),
        (["OwnUsr"], "the locustfile has no user class 'OwnUsr' (did you mean OwnUser"),
    ],
)
def test_misspelled_flags_of_locust(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Flags and user classes: exit code 2 with the near name; 1, which Locust gives, is that of a FAIL."""
    with pytest.raises(SystemExit) as ended:
        locust_parser().parse_args(arguments)
    assert ended.value.code == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_misspelled_user_class_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Locust's own variable is checked in the same way."""
    monkeypatch.setenv("LOCUST_USER_CLASSES", "OwnUsr")
    with pytest.raises(SystemExit) as ended:
        locust_parser().parse_args([])
    assert ended.value.code == ExitCode.USAGE
    assert "(did you mean OwnUser" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "classes", "says"),
    [
        ({"user_classes": []}, (), "the locustfile has no user class: write `class MyUser"),
        ({"processes": 2, "master": True}, ("OwnUser",), "--processes makes this process the master: omit --master"),
        ({"autoquit": 3, "autostart": False}, ("OwnUser",), "--autoquit has a meaning only with --autostart"),
    ],
)
def test_what_locust_would_refuse_with_exit_code_1(
    options: dict[str, object], classes: tuple[str, ...], says: str
) -> None:
    """A locustfile without a user class, and flags that exclude each other: exit code 2."""
    with pytest.raises(SettingsError, match=re.escape(says)):
        check_options(argparse.Namespace(**options), classes)
    check_options(argparse.Namespace(processes=2, master=False, autoquit=3, autostart=True), ("OwnUser",))


FLAGS = ("LOADGEN_TARGET", "LOADGEN_KUBE_NAMESPACE", "LOADGEN_REPORTS", "LOADGEN_KUBE_CONTEXT", "LOCUST_USERS")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("LOADGEN_TARGT", "LOADGEN_TARGET"),
        ("LOADGEN_RUN_DIR", "LOADGEN_RUNS_DIR"),
        ("LOADGEN_HEADER", "LOADGEN_HEADERS"),
        ("LOADGEN_KUBE_NAMESPCE", "LOADGEN_KUBE_NAMESPACE"),
    ],
)
def test_misspelled_environment_variables(name: str, known: str) -> None:
    """A variable that is almost one of ours is refused: the run would go somewhere else than its user thinks."""
    with pytest.raises(SettingsError, match=re.escape(f"{name} has no meaning (did you mean {known}?)")) as caught:
        check_environment(["PATH", name], FLAGS)
    assert "the variables are LOADGEN_HEADERS, " in str(caught.value)


def test_other_environment_variables_are_accepted() -> None:
    """Ours, those of other tools, and those that Kubernetes sets for Services whose names begin like ours."""
    of_services = ("LOADGEN_TARGETS_PORT", "LOADGEN_TARGETS_SERVICE_HOST", "LOADGEN_TARGETS_PORT_80_TCP_ADDR")
    check_environment((*of_services, *FLAGS, *WITHOUT_FLAG, *BETWEEN_PROCESSES, "LOADGEN_KUBECONFIG", "TARGT"), FLAGS)


def test_every_variable_of_the_package_is_known() -> None:
    """A variable that the package reads is in one of the lists or belongs to a flag."""
    source = "".join(file.read_text() for file in (ROOT / "loadgen").rglob("*.py"))
    read = set(re.findall(r"\bLOADGEN_[A-Z_]*[A-Z]\b", source)) - {"LOADGEN_KUBE"}
    flags = {action.env_var for action in locust_parser()._actions if getattr(action, "env_var", None)}
    assert read <= {*WITHOUT_FLAG, *BETWEEN_PROCESSES, *flags}


def test_misspelled_report_of_a_flag() -> None:
    """`--reports` and `$LOADGEN_REPORTS`."""
    environment = Environment(user_classes=[], parsed_options=locust_parser().parse_args(["--reports", "htlm"]))
    with pytest.raises(SettingsError, match=r"there is no report 'htlm' \(did you mean html\?\); choose from json"):
        with_flags(Scenario(name="x", load=LOAD), environment)


def test_misspelled_service() -> None:
    """Services of a namespace are proposed and listed."""
    with pytest.raises(TargetError, match=r"no Service lm in namespace llm \(did you mean llm\?\): llm, other"):
        choose_service([{"metadata": {"name": "llm"}}, {"metadata": {"name": "other"}}], WORKLOAD, name="lm")


def test_misspelled_chart_values() -> None:
    """What Helm says of unknown values is completed from the chart's schema, at any depth."""
    message = (
        "triton-trtllm: - at '/autoscaling': additional properties 'maxReplica' not allowed "
        "- at '/server/probes': additional properties 'startp' not allowed - at '': additional properties "
        "'serverr' not allowed"
    )
    text = proposals(message, ROOT / "charts" / "triton-trtllm")
    assert "no such value autoscaling.maxReplica (did you mean maxReplicas" in text
    assert "no such value server.probes.startp (did you mean startup?); the values of server.probes are " in text
    assert "no such value serverr (did you mean server" in text


def test_long_and_foreign_names_make_short_messages() -> None:
    """Names may come from files and servers: a message has a bounded number of them, each bounded and on one line."""
    names = [f"name-{number:04}\n{'x' * 1000}" for number in range(5000)]
    text = meant("name-0001", ["name_0001", *names]) + listed(names)
    assert text.startswith(" (did you mean name_0001")
    assert text.endswith(" and 4980 more")
    assert len(text) < 2500
    assert "\n" not in text
