"""Records series on the real controller in a new sandbox.

PYTHONPATH=tests uv run python -m support.hpa.record fast OUT.jsonl [NAME…]
PYTHONPATH=tests uv run python -m support.hpa.record slow OUT.jsonl          (about 10 minutes)
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadgen.sandbox.build.build import find
from loadgen.sandbox.build.programs import KUBERNETES_VERSION
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import SandboxConfig
from support.hpa.series import SERIES

_TESTS = Path(__file__).parents[2]
_FAST = {
    "downscale_stabilization_s": 5.0,
    "cpu_initialization_period_s": 9.0,
    "initial_readiness_delay_s": 5.0,
}
_CONTROLLERS = (
    "horizontal-pod-autoscaler-controller,deployment-controller,replicaset-controller,namespace-controller,"
    "serviceaccount-controller,serviceaccount-token-controller,garbage-collector-controller"
)
# the sync period, and concurrency for many HPAs; neither affects the decision of a sync
_FAST_FLAGS = (
    "--horizontal-pod-autoscaler-sync-period=2s",
    "--horizontal-pod-autoscaler-downscale-stabilization=5s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=9s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
    "--concurrent-horizontal-pod-autoscaler-syncs=40",
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
)
_FAST_BATCHES = ("fast", "outage", "restart")
_LIMIT_S = {"fast": 240.0, "slow": 1500.0}


def record(tier: str, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Record the series of a tier; `fast` includes series that disturb others, which are recorded last.

    A series that was disturbed (something came outside of a sync) is recorded once more.

    Raises:
        RuntimeError: It was disturbed again.
    """
    fast = tier == "fast"
    chosen = [each for each in SERIES.values() if each.name in names or not names]
    sandbox = Sandbox.named(f"twin-{tier}-{os.getpid()}")
    config = SandboxConfig(
        name=sandbox.name,
        folder=sandbox.folder,
        tools=find(),
        nodes=(),
        addons=False,
        controller_manager_flags=(f"--controllers={_CONTROLLERS}", *(_FAST_FLAGS if fast else ())),
    )
    about = {
        "kubernetes": KUBERNETES_VERSION,
        "recorded": datetime.now(UTC).strftime("%Y-%m-%d"),
        "sync_period_s": 2 if fast else 15,
        "controller": _FAST if fast else {},
    }
    recordings: list[dict[str, Any]] = []
    sandbox.up(config, say=lambda sentence: None, attached=True)
    try:
        for batch in _FAST_BATCHES if fast else ("slow",):
            found = _play(sandbox, [each.name for each in chosen if each.tier == batch], fast=fast)
            again = _play(sandbox, [each["series"] for each in found if "disturbed" in each], fast=fast)
            better = {each["series"]: each for each in again}
            recordings += [better.get(each["series"], each) for each in found]
    finally:
        sandbox.down()
    disturbed = [f"{each['series']}, {each['disturbed']}" for each in recordings if "disturbed" in each]
    if disturbed:
        raise RuntimeError(f"these series were disturbed twice: {'; '.join(disturbed)}")
    return [about | each for each in recordings]


def _play(sandbox: Sandbox, names: list[str], *, fast: bool) -> list[dict[str, Any]]:
    if not names:
        return []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "recorded.jsonl"
        # slow syncs are answered with a delay, so that the age of their records is not exactly the 15 s of policies
        hold_s, apart_s = ("0", f"{1.9 / len(names):.3f}") if fast else ("0.25", "1")
        command = [sys.executable, "-m", "support.hpa.play", str(out), hold_s, apart_s, *names]
        told = subprocess.run(
            sandbox.command(["env", f"PYTHONPATH={_TESTS.parent}:{_TESTS}", *command]),
            capture_output=True,
            text=True,
            timeout=_LIMIT_S["fast" if fast else "slow"],
            check=False,
        )
        if told.returncode != 0:
            raise RuntimeError(f"the recorder failed: {told.stderr.strip()[-2000:]}")
        return [json.loads(line) for line in out.read_text().splitlines()]


def write(recordings: list[dict[str, Any]], file: Path) -> None:
    """Write the recordings, one per line."""
    file.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in recordings))


def main(tier: str, out: str, *names: str) -> int:
    """Record the series of a tier into a file; return the exit code."""
    started_s = time.monotonic()
    recordings = record(tier, names)
    write(recordings, Path(out))
    syncs = sum(len(each["syncs"]) for each in recordings)
    sys.stdout.write(f"{len(recordings)} series, {syncs} syncs in {time.monotonic() - started_s:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
