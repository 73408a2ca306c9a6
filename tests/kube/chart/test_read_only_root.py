"""Server and load test with a read-only root, as their containers have by default: all that they write is on volumes.

The sandbox has no `readOnlyRootFilesystem`: the programs run here in mount namespaces of their own, without a cluster.
"""

from pathlib import Path

from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import RepositoryOptions
from support.read_only import read_only_root
from support.runs.locust_bench import Bench
from support.runs.locust_fixtures import bench, ports  # noqa: F401 - pytest finds them here
from support.runs.stack_runs import FOUR_PLACES
from support.servers.engine_replica import FRONTS, Replica
from support.servers.triton import PROMPT


def test_an_emulated_server_serves(tmp_path: Path) -> None:
    """Triton and its Python models write to /tmp and /dev/shm only; the model repository is read-only, too."""
    prefix = read_only_root(tmp_path, writable=False)
    replica = Replica(tmp_path, load_profile(FOUR_PLACES), RepositoryOptions(), prefix)
    try:
        for front in FRONTS:
            answers = replica.stream(front, text_input=PROMPT, max_tokens=3, stream=True).all()
            assert len([outputs for _, outputs, _ in answers if outputs]) == 3
    finally:
        replica.kill()


def test_a_load_test_writes_its_reports(bench: Bench) -> None:  # noqa: F811 - the fixture
    """Locust, the collector and the reports write to the run folder and /tmp only."""
    prefix = read_only_root(bench.folder, writable=True)
    done = bench.start(prefix=prefix, LOADGEN_RUNS_DIR=str(bench.folder / "runs")).wait()
    assert done.code == 0, done.err
    assert len(bench.requests()) == 30
    assert bench.reports()
