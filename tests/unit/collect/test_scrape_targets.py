"""Addresses to collect from, by the state of the stack or by the settings."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import SettingsError
from loadgen.collect.scrape_targets import Replica, ScrapeTargets, StackTargets, UrlTargets, metrics_url
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario
from support.servers.metrics import MODEL, run_folder, write_state


def replica(name: str, phase: str, metrics: str | None = "127.0.0.1:8002") -> dict[str, Any]:
    return {"name": name, "phase": phase, "http": None, "grpc": None, "metrics": metrics}


def test_the_stack_is_followed_at_every_change(tmp_path: Path) -> None:
    """There are no addresses before the first state; then every state replaces the one before."""
    folder = run_folder(tmp_path)
    targets = StackTargets(folder, folder.read_info())
    assert targets.current() == ScrapeTargets()
    write_state(
        folder, prometheus="http://127.0.0.1:9090", replicas=[replica("a", "started"), replica("b", "pulling", None)]
    )
    a = Replica(name="a", metrics="http://127.0.0.1:8002/metrics", ready=False)
    assert targets.current() == ScrapeTargets(
        prometheus="http://127.0.0.1:9090", model=MODEL, replicas=(a,), names=("a", "b")
    )
    write_state(folder, prometheus="http://127.0.0.1:9090", replicas=[replica("a", "ready")])
    assert targets.current().replicas[0].ready
    assert targets.current().serving


def test_a_replica_of_this_machine_has_its_ports(tmp_path: Path) -> None:
    """Those for requests, of loopback addresses; the pods of a cluster are elsewhere."""
    folder = run_folder(tmp_path)
    here = {**replica("a", "ready"), "http": "127.0.0.1:8000", "grpc": "127.0.0.1:8001"}
    there = {**replica("b", "ready", "10.0.0.7:8002"), "http": "10.0.0.7:8000", "grpc": "x:y"}
    write_state(folder, prometheus=None, replicas=[here, there])
    now = StackTargets(folder, folder.read_info()).current()
    assert [each.ports for each in now.replicas] == [(8000, 8001), ()]


def test_a_replica_whose_page_cannot_be_read_still_serves(tmp_path: Path) -> None:
    """A cluster may show Prometheus and not the pods: samples of that replica are still expected."""
    folder = run_folder(tmp_path)
    write_state(folder, prometheus="http://127.0.0.1:9090", replicas=[replica("a", "ready", None)])
    now = StackTargets(folder, folder.read_info()).current()
    assert (now.replicas, now.names, now.serving) == ((), ("a",), True)


def test_an_unreadable_state_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged state is logged, and the addresses of the state before remain."""
    folder = run_folder(tmp_path)
    write_state(folder, prometheus=None, replicas=[replica("a", "ready")])
    targets = StackTargets(folder, folder.read_info())
    before = targets.current()
    folder.write_text("stack/state.json", '{"phase": 7')
    assert [targets.current() for _ in range(3)] == [before] * 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("phase", ["stopping", "failed"])
def test_no_data_is_expected_from_a_stopping_stack(tmp_path: Path, phase: str) -> None:
    """Replicas that stop with the stack are not a gap."""
    folder = run_folder(tmp_path)
    write_state(folder, prometheus="http://127.0.0.1:1", replicas=[replica("a", "ready")], phase=phase)
    now = StackTargets(folder, folder.read_info()).current()
    assert not now.serving
    assert not now.replicas[0].ready


@pytest.mark.parametrize("known", [{"model": "ensemble"}, {"settings": {"model": "ensemble"}}])
def test_the_model_of_the_run_takes_precedence_over_the_stacks(tmp_path: Path, known: dict[str, Any]) -> None:
    """The counters are those of the model under test."""
    folder = run_folder(tmp_path, **known)
    write_state(folder, prometheus=None, replicas=[])
    assert StackTargets(folder, folder.read_info()).current().model == "ensemble"


def test_a_url_target_is_read_from_the_addresses_in_the_settings(tmp_path: Path) -> None:
    """Both addresses are targets, the server is named by its address, and the model is used once it is known."""
    settings = {"metrics_url": "http://gpu:8002", "prometheus_url": "http://prom:9090/"}
    folder = run_folder(tmp_path, target="http://gpu:8000", settings=settings)
    targets = UrlTargets(folder, folder.read_info())
    assert targets.current() == ScrapeTargets(
        prometheus="http://prom:9090",
        replicas=(Replica(name="gpu:8002", metrics="http://gpu:8002/metrics", ready=False),),
        names=("gpu:8002",),
        serving=True,
    )
    folder.write_info(folder.read_info().model_copy(update={"model": "ensemble"}))
    assert targets.current().model == "ensemble"
    assert targets.current().replicas[0].ready


def test_a_url_target_without_addresses_is_empty(tmp_path: Path) -> None:
    """Without addresses there is nothing to collect."""
    folder = run_folder(tmp_path, target="http://gpu:8000", settings={"metrics_url": None})
    targets = UrlTargets(folder, folder.read_info())
    assert targets.is_empty
    assert targets.current() == ScrapeTargets(serving=True)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8002", "http://127.0.0.1:8002/metrics"),
        ("http://h:8002/", "http://h:8002/metrics"),
        ("https://h/triton/metrics", "https://h/triton/metrics"),
    ],
)
def test_an_address_without_a_path_gets_the_metrics_path(address: str, url: str) -> None:
    """Only a URL with a path stays as it is."""
    assert metrics_url(address) == url


@pytest.mark.parametrize("field", ["metrics_url", "prometheus_url"])
@pytest.mark.parametrize("url", ["gpu:8002", "grpc://gpu:8002", "http://", "http://a b", ""])
def test_a_scenario_refuses_an_address_that_is_not_an_http_url(field: str, url: str) -> None:
    """The message names the field and shows a valid address."""
    with pytest.raises(SettingsError, match=f"{field} .*: write it like http://"):
        Scenario(name="s", load=Constant(per_s=1, duration_s=10), **{field: url})


def test_a_scenario_accepts_http_urls() -> None:
    """With and without path, encrypted or not."""
    load = Constant(per_s=1, duration_s=10)
    scenario = Scenario(name="s", load=load, metrics_url="http://gpu:8002", prometheus_url="https://prom/base/")
    assert (scenario.metrics_url, scenario.prometheus_url) == ("http://gpu:8002", "https://prom/base/")
