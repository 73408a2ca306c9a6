"""Where to read from, by the stack's state or by the settings."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import SettingsError
from loadgen.collect.targets import Replica, StackTargets, Targets, UrlTargets, metrics_url
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario
from support.servers.metrics import MODEL, run_folder, write_state


def replica(name: str, phase: str, metrics: str | None = "127.0.0.1:8002") -> dict[str, Any]:
    return {"name": name, "phase": phase, "http": None, "grpc": None, "metrics": metrics}


def test_the_stack_is_followed_at_every_change(tmp_path: Path) -> None:
    """Nothing before the first state; then what it says, until it says something else."""
    folder = run_folder(tmp_path)
    targets = StackTargets(folder, folder.read_info())
    assert targets.current() == Targets()
    write_state(
        folder, prometheus="http://127.0.0.1:9090", replicas=[replica("a", "started"), replica("b", "pulling", None)]
    )
    a = Replica(name="a", metrics="http://127.0.0.1:8002/metrics", ready=False)
    assert targets.current() == Targets(
        prometheus="http://127.0.0.1:9090", model=MODEL, replicas=(a,), names=("a", "b")
    )
    write_state(folder, prometheus="http://127.0.0.1:9090", replicas=[replica("a", "ready")])
    assert targets.current().replicas[0].ready
    assert targets.current().serving


def test_a_replica_whose_page_cannot_be_read_still_serves(tmp_path: Path) -> None:
    """A cluster may show Prometheus and not the pods: samples of that replica are due all the same."""
    folder = run_folder(tmp_path)
    write_state(folder, prometheus="http://127.0.0.1:9090", replicas=[replica("a", "ready", None)])
    now = StackTargets(folder, folder.read_info()).current()
    assert (now.replicas, now.names, now.serving) == ((), ("a",), True)


def test_a_state_that_cannot_be_read_leaves_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged state costs one line in the log and no target."""
    folder = run_folder(tmp_path)
    write_state(folder, prometheus=None, replicas=[replica("a", "ready")])
    targets = StackTargets(folder, folder.read_info())
    before = targets.current()
    folder.write_text("stack/state.json", '{"phase": 7')
    assert [targets.current() for _ in range(3)] == [before] * 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("phase", ["stopping", "failed"])
def test_no_data_is_due_from_a_stack_that_stops(tmp_path: Path, phase: str) -> None:
    """Replicas that go because the stack goes are no gap."""
    folder = run_folder(tmp_path)
    write_state(folder, prometheus="http://127.0.0.1:1", replicas=[replica("a", "ready")], phase=phase)
    now = StackTargets(folder, folder.read_info()).current()
    assert not now.serving
    assert not now.replicas[0].ready


@pytest.mark.parametrize("known", [{"model": "ensemble"}, {"settings": {"model": "ensemble"}}])
def test_the_model_of_the_run_wins_over_the_stacks(tmp_path: Path, known: dict[str, Any]) -> None:
    """The counters are those of the model that the load drives."""
    folder = run_folder(tmp_path, **known)
    write_state(folder, prometheus=None, replicas=[])
    assert StackTargets(folder, folder.read_info()).current().model == "ensemble"


def test_a_url_target_is_read_where_the_settings_say(tmp_path: Path) -> None:
    """Both addresses are targets, the server is named by its address, and the model is taken when it is known."""
    settings = {"metrics_url": "http://gpu:8002", "prometheus_url": "http://prom:9090/"}
    folder = run_folder(tmp_path, target="http://gpu:8000", settings=settings)
    targets = UrlTargets(folder, folder.read_info())
    assert targets.current() == Targets(
        prometheus="http://prom:9090",
        replicas=(Replica(name="gpu:8002", metrics="http://gpu:8002/metrics", ready=False),),
        names=("gpu:8002",),
        serving=True,
    )
    folder.write_info(folder.read_info().model_copy(update={"model": "ensemble"}))
    assert targets.current().model == "ensemble"
    assert targets.current().replicas[0].ready


def test_a_url_target_without_addresses_has_nothing(tmp_path: Path) -> None:
    """With neither address there is nothing to read."""
    folder = run_folder(tmp_path, target="http://gpu:8000", settings={"metrics_url": None})
    targets = UrlTargets(folder, folder.read_info())
    assert targets.nothing()
    assert targets.current() == Targets(serving=True)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8002", "http://127.0.0.1:8002/metrics"),
        ("http://h:8002/", "http://h:8002/metrics"),
        ("https://h/triton/metrics", "https://h/triton/metrics"),
    ],
)
def test_an_address_without_path_means_its_metrics(address: str, url: str) -> None:
    """Only a URL with a path of its own is taken as it is."""
    assert metrics_url(address) == url


@pytest.mark.parametrize("field", ["metrics_url", "prometheus_url"])
@pytest.mark.parametrize("url", ["gpu:8002", "grpc://gpu:8002", "http://", "http://a b", ""])
def test_a_scenario_refuses_an_address_that_is_no_http_url(field: str, url: str) -> None:
    """The sentence names the field and shows a right one."""
    with pytest.raises(SettingsError, match=f"{field} .*: write it like http://"):
        Scenario(name="s", load=Constant(per_s=1, duration_s=10), **{field: url})


def test_a_scenario_takes_http_urls() -> None:
    """With and without path, encrypted or not."""
    load = Constant(per_s=1, duration_s=10)
    scenario = Scenario(name="s", load=load, metrics_url="http://gpu:8002", prometheus_url="https://prom/base/")
    assert (scenario.metrics_url, scenario.prometheus_url) == ("http://gpu:8002", "https://prom/base/")
