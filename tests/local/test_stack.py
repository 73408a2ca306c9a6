"""The local stack with real components (Triton, Traefik, Prometheus, autoscaler) and short delays.

The tests of this module share one stack and run in order: start, scale-up, scale-down, crash, missing metric, stop.
"""

import json
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc as triton

from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import ReplicaState
from loadgen.local.environments import environment_folders
from loadgen.scenario.fleets import Local
from loadgen.targets.local import LocalStack, start_stack
from support.runs.stack_runs import eventually, journal, left_on_disk, processes_of, run_folder
from support.servers.token_stream import MODEL, TokenStream

LOCAL = Local(
    replicas=(1, 3),
    ratio_target=1.0,
    startup_delay_s=1.0,
    sync_period_s=2.0,
    rate_window_s=4.0,
    scale_down_window_s=4.0,
)


class Up:
    """The running stack under test."""

    def __init__(self, folder: RunFolder, stack: LocalStack, progress: list[str]) -> None:
        self.folder, self.stack, self.progress = folder, stack, progress

    def replicas(self, phase: str = "ready") -> list[ReplicaState]:
        return [each for each in self.stack.state().replicas if each.phase == phase]

    def events(self, *kinds: str, pod: str | None = None) -> list[dict[str, Any]]:
        return journal(self.folder, *kinds, pod=pod)

    def query(self, promql: str) -> dict[str, float]:
        url = f"{self.stack.state().prometheus}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        result = json.loads(get(url))["data"]["result"]
        return {each["metric"].get("pod", ""): float(each["value"][1]) for each in result}

    def process(self, text: str) -> psutil.Process:
        """Return the process of the stack with this text in its command line."""
        processes = [each for each in processes_of(self.folder, self.stack.pid) if text in " ".join(each.cmdline())]
        (root,) = [each for each in processes if not any(parent in processes for parent in each.parents())]
        return root

    def generate(self, text: str, max_tokens: int) -> str:
        body = json.dumps({"text_input": text, "max_tokens": max_tokens, "stream": False}).encode()
        url = f"http://{self.stack.endpoint.address}/v2/models/{MODEL}/generate"
        return str(json.loads(get(url, body))["text_output"])


def get(url: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(url, body, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


@contextmanager
def load(up: Up, streams: int) -> Iterator[None]:
    """Keep this many requests in flight, all of which must succeed."""
    stop, failures = threading.Event(), []

    def send() -> None:
        while not stop.is_set():
            try:
                up.generate("once upon a time", 24)
            except (OSError, ValueError) as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=send) for _ in range(streams)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = run_folder(tmp_path_factory.mktemp("runs"), LOCAL)
    progress: list[str] = []
    stack = start_stack(folder, on_progress=progress.append)
    try:
        yield Up(folder, stack, progress)
    finally:
        stack.stop()


def test_a_ready_stack_serves_both_protocols_and_is_scraped(up: Up) -> None:
    """A started stack serves HTTP and gRPC at one address, and Prometheus has scraped every replica."""
    state = up.stack.state()
    assert (state.phase, state.desired, len(state.replicas)) == ("ready", 1, 1)
    assert sorted(state.versions) == ["prometheus", "traefik", "tritonserver"]
    assert any("1 replica" in line for line in up.progress)
    assert up.generate("once upon a time", 5)
    with triton.InferenceServerClient(up.stack.endpoint.address) as client:
        assert client.is_model_ready(MODEL)
    stream = TokenStream(up.stack.endpoint.address, 5)
    stream.finish()
    assert (stream.tokens, stream.error) == (5, None)
    assert up.query("up") == {up.replicas()[0].name: 1.0}


def test_ports_listen_on_loopback_only(up: Up) -> None:
    """Every port of the stack listens on the loopback interface only, outside the ephemeral range."""
    addresses = [
        connection.laddr
        for process in processes_of(up.folder, up.stack.pid)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [address.port for address in addresses if low <= address.port <= high]


def test_other_users_cannot_read_what_the_stack_writes(up: Up) -> None:
    """Its shared memory and the folders of the run are for their owner only."""
    memory = list(Path("/dev/shm").glob(f"loadgen-{up.stack.pid}-*"))
    assert memory
    folders = [up.folder.path, up.folder.logs, up.folder.path / "stack"]
    assert {path.stat().st_mode & 0o077 for path in [*memory, *folders]} == {0}


def test_scales_up_on_the_ratio(up: Up) -> None:
    """Twelve requests in flight at four slots raise the ratio, and a new replica goes through its phases and serves."""
    first = up.replicas()[0].name
    with load(up, 12):
        eventually(lambda: up.query("triton:queue_compute:ratio").get(first, 0) > 1.1, of="a ratio over its target")
        rescale = eventually(lambda: up.events("hpa_rescale"), of="a rescale")[0]
        new = up.events("replica_created")[1]["pod"]
        eventually(lambda: new in [each.name for each in up.replicas()], of="readiness of the new replica")
        served = f'nv_inference_request_success{{model="{MODEL}",pod="{new}"}} > 0'
        eventually(lambda: up.query(served), of="a request that the new replica served")
    assert rescale["reason"] == "SuccessfulRescale"
    assert rescale["message"].endswith("reason: pods metric triton:queue_compute:ratio above target")
    assert rescale["data"]["before"] == 1
    phases = [event["kind"].removeprefix("replica_") for event in up.events(pod=new)]
    assert phases == ["created", "scheduled", "pulling", "started", "ready"]
    times = [event["t_s"] for event in up.events()]
    assert times == sorted(times)
    sync = next(event for event in up.events("hpa_sync") if event["t_s"] == rescale["t_s"])
    assert sync["data"]["metric_milli"] > 1100
    assert sync["data"]["desired"] == rescale["data"]["after"]


def test_scales_down_without_cutting_a_stream(up: Up) -> None:
    """Replicas are drained while streams run on them: every stream gets all its tokens, and no replica is killed."""
    eventually(lambda: len(up.replicas()) >= 2 and not up.replicas("pulling") and not up.replicas("started"))
    streams: list[TokenStream] = []

    def drained_with_streams() -> bool:
        # at least one stream per replica at any time: the gateway balances round-robin
        if len([each for each in streams if not each.ended.is_set()]) < 2 * len(up.replicas()):
            streams.append(TokenStream(up.stack.endpoint.address, 200))
        return any(
            "nv_trt_llm_request_metrics" in line and 'request_type="active"' in line and float(line.split()[-1]) > 0
            for each in up.replicas("draining")
            for line in get(f"http://{each.metrics}/metrics").splitlines()
        )

    eventually(drained_with_streams, of="a drain with a stream in flight")
    for stream in streams:
        stream.finish()
    assert [(stream.tokens, stream.error) for stream in streams] == [(200, None)] * len(streams)
    eventually(lambda: len(up.stack.state().replicas) == 1, of="the end of the last drained replica")
    stopped = [event["pod"] for event in up.events("replica_stopped")]
    assert stopped
    assert stopped == [event["pod"] for event in up.events("replica_draining")] or set(stopped) == {
        event["pod"] for event in up.events("replica_draining")
    }
    assert up.events("replica_killed") == []
    assert up.generate("still there", 3)


def test_crashed_replica_is_restarted(up: Up) -> None:
    """After SIGKILL a server restarts and serves, and the journal has the crash and the restart."""
    replica = up.replicas()[0]
    assert replica.http is not None
    up.process(f"--http-port={replica.http.rpartition(':')[2]}").kill()
    crash = eventually(lambda: up.events("replica_crashed", pod=replica.name), of="the crash")[0]
    assert crash["data"]["exit_code"] == -signal.SIGKILL
    back = eventually(
        lambda: [each for each in up.events("replica_ready", pod=replica.name) if each["t_s"] > crash["t_s"]],
        of="the replica's return",
    )
    after = [each["kind"] for each in up.events(pod=replica.name) if each["t_s"] > crash["t_s"]]
    assert (len(back), after) == (1, ["replica_started", "replica_ready"])
    eventually(lambda: [each.name for each in up.replicas()] == [replica.name], of="the state of the replica")
    assert up.replicas()[0].http != replica.http
    eventually(lambda: answers(lambda: up.generate("back again", 3)), of="an answer through the gateway")


def test_an_autoscaler_without_its_metric_does_not_scale(up: Up) -> None:
    """While Prometheus does not answer, replicas do not change and the sync has the reason; a killed one restarts."""
    eventually(lambda: up.query("triton:queue_compute:ratio"), of="a ratio of the restarted replica")
    prometheus = up.process("--web.listen-address")
    before = len(up.events("hpa_sync"))
    prometheus.suspend()
    try:
        blind = eventually(
            lambda: [each for each in up.events("hpa_sync")[before:] if each["reason"] == "FailedGetPodsMetric"],
            of="a sync without the metric",
        )[0]
    finally:
        prometheus.kill()
    assert (blind["data"]["metric_milli"], blind["data"]["desired"]) == (None, blind["data"]["current"])
    assert "unable to fetch metrics" in blind["message"]
    died = eventually(lambda: up.events("part_died"), of="the event that Prometheus died")[0]
    assert died["data"] == {"part": "prometheus", "exit_code": -signal.SIGKILL}
    eventually(
        lambda: (
            up.events("hpa_sync")[-1]["reason"] == "ValidMetricFound" and up.events("hpa_sync")[-1]["t_s"] > died["t_s"]
        ),
        of="a sync with the metric",
    )
    assert up.stack.state().phase == "ready"


def test_a_killed_gateway_restarts_at_its_address(up: Up) -> None:
    """The gateway restarts at the same address, so that clients need not change it."""
    endpoint = up.stack.endpoint
    up.process("--configFile").kill()
    eventually(lambda: len(up.events("part_died")) == 2, of="the event that the gateway died")
    eventually(lambda: answers(lambda: up.generate("back again", 3)), of="an answer through the gateway")
    assert up.stack.endpoint == endpoint
    assert up.stack.failure() is None


def test_stop_leaves_nothing_behind(up: Up) -> None:
    """After `stop` no process, shared memory or temporary folder is left, and a second `stop` does nothing."""
    assert left_on_disk(up.stack.pid)
    assert list(environment_folders(up.folder.logs))
    up.stack.stop()
    assert processes_of(up.folder, up.stack.pid) == []
    assert left_on_disk(up.stack.pid) == []
    assert list(environment_folders(up.folder.logs)) == []
    state = up.stack.state()
    assert (state.phase, state.error, state.replicas) == ("stopping", None, ())
    up.stack.stop()


def answers(request: Callable[[], str]) -> bool:
    try:
        return bool(request())
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
        return False
