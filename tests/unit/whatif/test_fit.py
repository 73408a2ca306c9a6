"""Simulations that are fitted to run folders, against the synthetic runs that wrote them, and against changed ones."""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadgen.analyze.observed import Observed
from loadgen.analyze.read import read_observed
from loadgen.analyze.scaling.replicas import Fleet, fleet
from loadgen.base.errors import SettingsError
from loadgen.dataset.folder import RunFolder
from loadgen.whatif import cli
from loadgen.whatif.check import check
from loadgen.whatif.fit import Fit, _period, fit
from loadgen.whatif.settings import with_settings
from loadgen.whatif.sweep import first_token_s, percentile, run
from loadgen.whatif.text import check_lines, owner_line, recommendation
from support.runs.synthetic import PLANS, Plan, simulate, simulation, write
from support.runs.synthetic.plan import SCALE_DOWN_WINDOW_S, START_UP_S
from support.runs.synthetic.simulation import FIRST_SYNC_S, REACTION_S, Truth

# nothing times out: a request that does gives up in the middle of its service, which a simulation does not know
PLAN = replace(PLANS["failing"], name="whatif", peak_per_s=6.0, ratio_target=0.5)


@pytest.fixture(scope="module", autouse=True)
def _comparable() -> Iterator[None]:
    """Plans that differ in their HPA alone have the same requests, and their HPAs are exact.

    The names of replicas are drawn from a generator of their own, so that scaling does not change later requests. The
    HPA leaves out a sync at exactly the start of its window, which the sums of floats of a synthetic run may not do.
    """
    names, create = np.random.default_rng(9), simulation._Simulation.create

    def create_named(self: simulation._Simulation, t_s: float) -> None:
        requests, self.rng = self.rng, names
        create(self, t_s)
        self.rng = requests

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "SCALE_DOWN_WINDOW_S", SCALE_DOWN_WINDOW_S - 0.5)
        patch.setattr(simulation._Simulation, "create", create_named)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("runs"), PLAN).path


def read(path: Path) -> tuple[Observed, Fleet]:
    observed = read_observed(RunFolder.open(path))
    return observed, fleet(observed)


@pytest.fixture(scope="module")
def fitted(folder: Path) -> Fit:
    return fit(*read(folder))


def test_what_a_run_was_is_found_in_its_folder(fitted: Fit) -> None:
    """Slots, start-up, phases and the HPA are those of the plan."""
    replicas, path, hpa = fitted.setup.replicas, fitted.setup.path, fitted.setup.hpa
    assert replicas.slots == PLAN.slots
    assert replicas.create_s == pytest.approx(REACTION_S, abs=0.01)
    assert replicas.start_up_s == pytest.approx(START_UP_S, abs=0.01)
    assert path.sync_offset_s == pytest.approx(FIRST_SYNC_S, abs=0.01)
    assert (path.scrape_s, path.window_s, path.sync_s) == (1.0, 10.0, 15.0)
    assert (hpa.min_replicas, hpa.max_replicas, hpa.metrics[0].target.average_value_milli) == (1, 4, 500)
    assert (fitted.span.initial, fitted.limit_s) == (1, PLAN.ttft_p95_s)
    assert len(fitted.load) == len(simulate(PLAN).requests)


def test_creations_stamped_in_whole_seconds_belong_to_the_decision_just_before(folder: Path) -> None:
    """Kubernetes rounds down, so that a replica seems to be there before its scale-up, and long after the last one."""
    observed, replicas = read(folder)
    early = {
        name: replace(pod, created_s=None if pod.created_s is None else pod.created_s - REACTION_S - 0.9)
        for name, pod in replicas.pods.items()
    }
    assert fit(observed, replace(replicas, pods=early)).setup.replicas.create_s == 0.0


def test_the_services_of_a_run_are_those_of_the_plan(fitted: Fit) -> None:
    """The prefill is one mean for all prompts, so single services differ by the length of the prompt alone."""
    in_order = sorted(simulate(PLAN).requests, key=lambda each: each.sent_s)
    truth = [float(each.tokens_s[-1]) - each.start_s for each in in_order]
    assert fitted.load.service_s.mean() == pytest.approx(np.mean(truth), rel=0.02)
    # 0.1 ms for each of 32 to 256 tokens of the prompt
    assert np.abs(fitted.load.service_s - np.array(truth)).max() < 0.0256


def test_the_settings_of_a_run_repeat_the_run(folder: Path, fitted: Fit) -> None:
    """Replicas and TTFT are those of the run."""
    observed, replicas = read(folder)
    result = check(observed, replicas, fitted)
    assert result.problems == ()
    assert result.replicas_off_ratio == result.time_off_ratio == 0.0
    # the prefill of a request that waits for nothing is that of the whole run
    assert result.simulated_s == pytest.approx(result.measured_s, rel=0.05, abs=0.02)


def test_without_streaming_the_services_follow_the_output_tokens(tmp_path: Path) -> None:
    """Longer answers have longer services, and so the run is repeated; the first token comes with the answer."""
    plan = replace(PLAN, stream=False)
    observed, replicas = read(write(tmp_path, plan).path)
    fitted = fit(observed, replicas)
    in_order = sorted(simulate(plan).requests, key=lambda each: each.sent_s)
    ok = np.array([each.outcome == "ok" for each in in_order])
    truth = np.array([float(each.tokens_s[-1]) - each.start_s for each in in_order if each.outcome == "ok"])
    assert np.corrcoef(fitted.load.service_s[ok], truth)[0, 1] > 0.95
    assert fitted.load.first_token_s[ok] == pytest.approx(fitted.load.service_s[ok])
    assert check(observed, replicas, fitted).problems == ()
    assert any("the service of a request follows from its output tokens" in each for each in fitted.assumptions)
    # where no first token is recorded, E2E takes the place of TTFT
    whole = replace(observed, requests=replace(observed.requests, first_s=np.full(len(observed.requests), np.nan)))
    e2e = fit(whole, replicas)
    assert (fitted.metric, fitted.limit_s, e2e.metric, e2e.limit_s) == ("ttft", 2.0, "e2e", math.inf)
    checked = check(whole, replicas, e2e)
    assert checked.problems == ()
    assert checked.measured_s[0] > 0
    line = check_lines(checked, e2e.metric)[0]
    assert "; E2E p50 " in line
    assert "TTFT" not in line + recommendation(None, e2e.limit_s, e2e.metric, unfit=False)


def test_a_simulation_that_does_not_repeat_the_run_says_so(folder: Path, fitted: Fit) -> None:
    """Half of the slots need twice the replicas."""
    observed, replicas = read(folder)
    wrong = replace(fitted.setup, replicas=replace(fitted.setup.replicas, slots=2))
    result = check(observed, replicas, replace(fitted, setup=wrong))
    assert any("replicas differ" in each for each in result.problems)
    assert any("TTFT p95" in each for each in result.problems)


def served(truth: Truth) -> tuple[float, float, float]:
    """TTFT p50 and p95, and replica-seconds of a synthetic run."""
    ttft = np.array([float(each.tokens_s[0]) - each.sent_s for each in truth.requests])
    end_s = PLAN.load.length_s + PLAN.observed_s
    spans = ((max(each.created_s, FIRST_SYNC_S), min(each.stopped_s, end_s)) for each in truth.replicas)
    return percentile(ttft, 0.5), percentile(ttft, 0.95), sum(end - start for start, end in spans)


@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        (["hpa.target=0.2"], replace(PLAN, ratio_target=0.2)),
        (["hpa.target=2"], replace(PLAN, ratio_target=2.0)),
        (["hpa.max_replicas=2"], replace(PLAN, replicas=(1, 2))),
        (["hpa.min_replicas=2"], replace(PLAN, replicas=(2, 4))),
        (["hpa.min_replicas=3", "hpa.max_replicas=3"], replace(PLAN, replicas=(3, 3))),
        (["hpa.target=1", "hpa.max_replicas=3"], replace(PLAN, ratio_target=1.0, replicas=(1, 3))),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_changed_setting_is_predicted(fitted: Fit, changes: list[str], plan: Plan) -> None:
    """The folder of one plan tells what another does with the same requests: TTFT ± 10 %, replica-seconds ± 5 %."""
    p50_s, p95_s, replica_s = served(simulate(plan))
    setup = with_settings(fitted.setup, changes)
    # the run begins with as many replicas as the HPA has at least
    span = replace(fitted.span, initial=setup.hpa.lowest)
    simulated = run(fitted.load, setup, span)
    ttft = first_token_s(fitted.load, simulated)
    assert percentile(ttft, 0.5) == pytest.approx(p50_s, rel=0.1, abs=0.02)
    assert percentile(ttft, 0.95) == pytest.approx(p95_s, rel=0.1, abs=0.02)
    assert simulated.replica_seconds(span.begin_s, span.end_s) == pytest.approx(replica_s, rel=0.05)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-autoscaler", "had no autoscaler whose metric is known"),
        ("url", "no replica was observed: only a run with a local stack or a cluster can be simulated"),
        ("never-started", "has no load"),
    ],
)
def test_a_run_that_cannot_be_simulated_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    """It says what is missing."""
    with pytest.raises(SettingsError, match=message):
        fit(*read(write(tmp_path, PLANS[name]).path))


KEDA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "keda-hpa-triton", "labels": {"scaledobject.keda.sh/name": "triton"}},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "triton"},
        "minReplicas": 1,
        "maxReplicas": 4,
        "metrics": [
            {
                "type": "External",
                "external": {"metric": {"name": "s0-prometheus"}, "target": {"type": "Value", "value": "500m"}},
            }
        ],
    },
}


def test_a_run_with_keda_is_simulated_with_what_is_assumed(
    tmp_path: Path,
) -> None:
    """Its external metric is the mean ratio, its syncs are those that are observed, and its HPA belongs to KEDA."""
    folder = write(tmp_path, replace(PLAN, target="cluster"))
    info = folder.read_info()
    assert info.cluster is not None
    folder.write_info(info.model_copy(update={"cluster": replace(info.cluster, hpa_manifest=KEDA)}))
    fitted = fit(*read(folder.path))
    assert fitted.setup.metrics.signals == ("ratio",)
    assumed = "; ".join(fitted.assumptions)
    assert "query of the External metric s0-prometheus is not recorded: it is taken to be the mean" in assumed
    assert "the HPA synced when its status was written" in assumed
    line = owner_line(KEDA)
    assert line is not None
    assert "ScaledObject triton" in line
    assert owner_line({"metadata": {"name": "mine"}}) is None


def test_a_metric_that_nothing_recorded_is_one_sentence(tmp_path: Path) -> None:
    """As the CPU of the pods."""
    folder = write(tmp_path, replace(PLAN, target="cluster"))
    info = folder.read_info()
    assert info.cluster is not None
    assert info.cluster.hpa_manifest is not None
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
    spec = info.cluster.hpa_manifest["spec"]
    manifest = {**info.cluster.hpa_manifest, "spec": {**spec, "metrics": [*spec["metrics"], cpu]}}
    folder.write_info(info.model_copy(update={"cluster": replace(info.cluster, hpa_manifest=manifest)}))
    with pytest.raises(SettingsError, match="the resource metric cpu, which cannot be simulated"):
        fit(*read(folder.path))


@pytest.mark.parametrize(
    ("times", "period_s"),
    [
        ([0.0, 15.05, 30.1, 45.15], 15.05),
        ([0.0, 30.1, 75.25], 15.05),
        ([0.0, 15.05], 15.0),
        ([], 15.0),
        ([0.0, 17.0, 34.0, 51.0], 15.0),
    ],
)
def test_the_period_of_the_syncs_is_the_observed_one(times: list[float], period_s: float) -> None:
    """Also where some syncs are not observed; with few of them, or 13 % off, it is the nominal one."""
    assert _period(np.array(times), 15.0) == period_s


def test_without_waits_the_slots_are_asked_for(tmp_path: Path) -> None:
    """`--slots` gives what no request shows."""
    calm = replace(PLAN, trough_per_s=0.5, peak_per_s=1.0, replicas=(4, 4))
    observed = read(write(tmp_path, calm).path)
    with pytest.raises(SettingsError, match="give it with --slots"):
        fit(*observed)
    assert fit(*observed, slots=4).setup.replicas.slots == 4


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_command(parser.add_subparsers(dest="command"))
    return cli.run(parser.parse_args(["whatif", *arguments]))


def test_the_command_prints_a_table_and_a_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three targets: one line each, and the HPA of the recommended one."""
    code = command(str(folder), "--sweep", "hpa.target=0.1,0.2,1", "--set", "hpa.scale_down_window_s=120")
    assert code == 0
    out = capsys.readouterr().out
    assert "replicas differ by 0.0%" in out
    for target in ("0.1", "0.2", "1"):
        assert f"hpa.scale_down_window_s=120, hpa.target={target}" in out
    assert "service times are modelled" in out
    if "Recommended: hpa" in out:
        assert "kind: HorizontalPodAutoscaler" in out


@pytest.mark.parametrize(
    "flags",
    ["--sweep hpa.target=0.1,0.2,0.4", "--sweep hpa.target=0.1,0.2,0.4 --sweep hpa.scale_down_window_s=60,300"],
)
def test_the_printed_commands(folder: Path, capsys: pytest.CaptureFixture[str], flags: str) -> None:
    """The flags of README.md and docs/whatif.md."""
    assert command(str(folder), *flags.split()) == 0
    assert "hpa.target=0.4" in capsys.readouterr().out


def test_the_command_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is JSON alone, without infinite numbers."""
    assert command(str(folder), "--set", "hpa.target=0.1", "--json") == 0
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert result["fit"] is True
    assert [each["changes"] for each in result["variants"]] == [[], ["hpa.target=0.1"]]
    hours = [each["replica_hours"]["median"] for each in result["variants"]]
    assert hours[1] > hours[0]
    assert math.isfinite(result["limit_s"])


def test_an_unfit_simulation_marks_every_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a wrong number of slots nothing is recommended as a manifest, and the exit code is that of INVALID."""
    assert command(str(folder), "--slots", "2", "--set", "hpa.target=0.1") == 3
    out = capsys.readouterr().out
    assert "UNFIT" in out
    assert "unfit: as in the run" in out
    assert "unfit: hpa.target=0.1" in out
    assert "None of these settings is recommended, because the simulation does not repeat the run" in out
    assert "kind: HorizontalPodAutoscaler" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "hpa.targt=1"], r"there is no setting hpa.targt \(did you mean hpa.target or "),
        (["--sweep", "hpa.target"], "write name=value"),
        (["--slots", "0"], "--slots 0: use at least 1"),
        (["--set", "hpa.min_replicas=9"], "minReplicas 9 is above maxReplicas 4"),
    ],
)
def test_wrong_arguments_are_one_sentence(folder: Path, arguments: list[str], message: str) -> None:
    """Nothing is simulated."""
    with pytest.raises(SettingsError, match=message):
        command(str(folder), *arguments)
