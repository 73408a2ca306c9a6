"""The self-check: a simulation of a folder that is wrong is unfit, and the reasons are named."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from loadgen.analyze.columns import Texts
from loadgen.analyze.observed import Bools, Floats, Observed, Requests
from loadgen.analyze.read import read_observed
from loadgen.analyze.scaling.replicas import Fleet, fleet
from loadgen.base.errors import SettingsError
from loadgen.whatif.check import Check, check
from loadgen.whatif.evidence import contradictions
from loadgen.whatif.fit import fit
from support.runs.synthetic import PLANS, Plan, write

# one that the simulation repeats: no sync is close to a threshold, and nothing times out
PLAN = replace(PLANS["failing"], name="whatif", peak_per_s=6.0, ratio_target=0.4, engine_times=True)


def read(folder: Path, plan: Plan) -> tuple[Observed, Fleet]:
    observed = read_observed(write(folder, plan))
    return observed, fleet(observed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Observed, Fleet]:
    return read(tmp_path_factory.mktemp("runs"), PLAN)


def checked(observed: Observed, replicas: Fleet) -> Check:
    return check(observed, replicas, fit(observed, replicas))


def only(requests: Requests, rows: Bools) -> Requests:
    return replace(requests, **{each.name: getattr(requests, each.name)[rows] for each in fields(requests)})


def test_a_run_as_it_was_is_fit(run: tuple[Observed, Fleet]) -> None:
    """Nothing contradicts it."""
    assert checked(*run).problems == ()


def test_doubled_services_are_unfit(run: tuple[Observed, Fleet]) -> None:
    """Half of the rows have twice their service: more slots make up for it, so replicas and TTFT do not show it."""
    observed, replicas = run

    def doubled(values: Floats) -> Floats:
        return np.where(np.arange(len(values)) % 2, values, 2 * values)

    requests = observed.requests
    wrong = replace(
        requests,
        engine_prefill_s=doubled(requests.engine_prefill_s),
        engine_decode_s=doubled(requests.engine_decode_s),
    )
    problems = checked(replace(observed, requests=wrong), replicas).problems
    assert any("of the services are longer than the client waited for the whole answer" in each for each in problems)
    mean_s = wrong.service_s.mean()
    expected = f"a service takes {mean_s:.3g} s on average, and Triton counted 1.2"
    assert any(each.startswith(expected) for each in problems), problems


def test_load_without_half_of_its_rows_is_refused(run: tuple[Observed, Fleet]) -> None:
    """The requests that are left wait for those of another client, so the slots of a replica are unknown."""
    observed, replicas = run
    rows = np.random.default_rng(1).uniform(size=len(observed.requests)) < 0.5
    with pytest.raises(SettingsError, match=r"cannot be simulated, because some requests waited while .* is unknown"):
        checked(replace(observed, requests=only(observed.requests, rows)), replicas)


def test_load_without_rows_is_unfit(run: tuple[Observed, Fleet]) -> None:
    """Triton's counters have the requests of another client."""
    observed, replicas = run
    rows = np.random.default_rng(1).uniform(size=len(observed.requests)) < 0.85
    problems = checked(replace(observed, requests=only(observed.requests, rows)), replicas).problems
    assert any(f"requests, of which the run sent {rows.sum():,} at most" in each for each in problems), problems


def test_the_load_of_another_model_in_the_metric_is_unfit(tmp_path: Path) -> None:
    """The rule adds the ratio of a second model, and the HPA scales up earlier for it: what it read is named."""
    problems = checked(*read(tmp_path, replace(PLAN, other_model=True, rule="ratios"))).problems
    (reason,) = [each for each in problems if "its HPA first decides otherwise" in each]
    assert " and wants 2, and that of the run read " in reason
    assert reason.endswith(" and wanted 3")


def test_pinned_clients_are_unfit(tmp_path: Path) -> None:
    """New replicas get no requests, and the simulation distributes them."""
    problems = checked(*read(tmp_path, replace(PLAN, unreached=True))).problems
    assert problems[0].startswith("requests did not take turns: of those that were sent while several replicas were")
    assert any("TTFT p95" in each for each in problems)


@pytest.mark.parametrize(("pinned", "unfit"), [(0.0, False), (0.05, False), (0.8, True)])
def test_random_choice_of_replicas_is_no_contradiction(run: tuple[Observed, Fleet], pinned: float, unfit: bool) -> None:
    """A gateway that chooses at random is even enough; with four fifths of the requests on one replica it is not."""
    observed, replicas = run
    rng = np.random.default_rng(5)
    requests = observed.requests
    names = tuple(replicas.pods)
    code = np.full(len(requests), -1, dtype=np.int32)
    for row, at_s in enumerate(requests.sent_s.tolist()):
        ready = [
            name
            for name, pod in replicas.pods.items()
            if pod.ready_s is not None and pod.ready_s <= at_s and (pod.draining_s is None or at_s < pod.draining_s)
        ]
        code[row] = names.index(ready[0] if rng.uniform() < pinned else ready[rng.integers(0, len(ready))])
    wrong = replace(requests, pod=Texts(code, names))
    found = list(contradictions(replace(observed, requests=wrong), replicas))
    assert bool(found) == unfit


@pytest.mark.parametrize(("share", "named"), [(0.02, ["p99"]), (0.1, ["p95", "p99"]), (0.6, ["p50", "p95", "p99"])])
def test_each_percentile_is_compared(run: tuple[Observed, Fleet], share: float, named: list[str]) -> None:
    """A share of the requests was slower than the simulation knows, by 60 s."""
    observed, replicas = run
    fitted = fit(observed, replicas)
    requests = observed.requests
    slower = np.argsort(requests.first_s - requests.sent_s)[::-1][: round(share * len(requests))]
    first_s = requests.first_s.copy()
    first_s[slower] += 60.0
    problems = check(replace(observed, requests=replace(requests, first_s=first_s)), replicas, fitted).problems
    assert [each.split()[2] for each in problems if "TTFT" in each] == named
