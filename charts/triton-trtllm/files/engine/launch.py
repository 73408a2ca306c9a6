"""Starts tritonserver: one process for one GPU, or one MPI rank per GPU, in one pod or in several.

A single rank replaces this process and receives its signals. With several ranks this process stays: `mpirun` does not
forward SIGTERM but kills all ranks, and with them the running generations. On SIGTERM this process signals only rank 0,
which accepts no new requests, finishes the running ones, and then ends the other ranks. After `--drain-s` the remaining
ranks are ended through `mpirun`.

With `--nodes` this pod is the leader of a group and first waits for its workers (`group.py`). In mode engine each rank
is a server. The LLM API has one server, and `--through` names the launcher that runs the other ranks for it.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import group
from errors import SettingsError, Stopped, run, say

# flags for all ranks; the others are for rank 0 only
SHARED = (
    "--log-", "--backend-directory", "--backend-config", "--exit-timeout-secs", "--pinned-memory-pool-byte-size",
    "--cuda-memory-pool-byte-size", "--min-supported-compute-capability",
)  # fmt: skip
_OURS = ("--id", "--model-repository", "--disable-auto-complete-config")


def rank_command(rank: int, repository: str, tritonserver: str, extra: list[str]) -> list[str]:
    """Returns one rank's command line.

    Only rank 0 serves requests. The others load only `tensorrt_llm` and compute for it.
    """
    command = [
        tritonserver, f"--id=rank{rank}", f"--model-repository={repository}", "--disable-auto-complete-config",
        f"--backend-config=python,shm-region-prefix-name=rank{rank}_",
    ]  # fmt: skip
    if rank == 0:
        return command + extra
    silent = ["--allow-http=false", "--allow-grpc=false", "--allow-metrics=false"]
    chosen = ["--model-control-mode=explicit", "--load-model=tensorrt_llm"]
    return command + silent + chosen + [flag for flag in extra if flag.startswith(SHARED)]


def command(
    world_size: int,
    repository: str,
    extra: list[str],
    tritonserver: str,
    mpirun: str,
    pid_file: str,
    hosts: Sequence[str] = ("--oversubscribe",),
    through: str = "",
) -> list[str]:
    """Returns the whole command line: tritonserver itself, or `mpirun` with a rank for each GPU.

    Args:
        world_size: Tensor times pipeline parallelism.
        repository: The model repository.
        extra: Additional flags of tritonserver, each as one `--name=value`.
        tritonserver: The server's program.
        mpirun: Open MPI's launcher. By default it would bind one or two ranks, with all their threads, to a core each.
        pid_file: File in which rank 0 writes its process id; not used with one rank.
        hosts: Flags of `mpirun` that place the ranks; by default all in this pod, whatever its number of cores.
        through: Launcher that runs the server on rank 0 and lets the other ranks compute for it.

    Raises:
        SettingsError: An additional flag is one that this function sets.
    """
    for flag in extra:
        if not flag.startswith("--") or flag.split("=")[0] in _OURS:
            raise SettingsError(f"{flag!r} is not supported: use --name=value, and none of {', '.join(_OURS)}.")
    ranks = [rank_command(rank, repository, tritonserver, extra) for rank in range(world_size)]
    if world_size == 1:
        return ranks[0]
    ranks[0] = [sys.executable, __file__, "rank0", pid_file, *ranks[0]]
    whole = [mpirun, "--allow-run-as-root", "--bind-to", "none", *hosts]
    if through:
        return [*whole, "-n", str(world_size), through, *ranks[0]]
    for rank in ranks:
        whole += [*([":"] if rank is not ranks[0] else []), "-n", "1", *rank]
    return whole


def supervise(argv: list[str], pid_file: Path, drain_s: float) -> int:
    """Runs `mpirun` and turns SIGTERM into a drain; returns its exit code, or 0 after a drain."""
    asked = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for ranks in started:
            ranks.terminate()

    def drain(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            return
        asked.set()
        try:
            rank0 = int(pid_file.read_text())
            os.kill(rank0, signal.SIGTERM)
        except (OSError, ValueError):  # rank 0 has not started
            end()
            return
        say(f"received SIGTERM: rank 0 (process {rank0}) finishes its requests, for at most {drain_s:.0f} s")
        timer = threading.Timer(drain_s, end)
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, drain)
    started.append(subprocess.Popen(argv))
    if asked.is_set():
        end()
    exit_code = started[0].wait()
    return 0 if asked.is_set() else exit_code if exit_code >= 0 else 128 - exit_code


@contextmanager
def workers(nodes: int, slots: int, folder: Path, port: int, wait_s: float) -> Iterator[list[str]]:
    """Waits for the workers of this pod's group, and yields the flags with which `mpirun` uses them.

    Raises:
        Stopped: SIGTERM arrived while waiting.
        NotReadyError: A worker did not connect in time.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped("received SIGTERM while waiting for the workers")

    signal.signal(signal.SIGTERM, stop)
    members = group.assemble(nodes, port, wait_s)
    socket_path = folder / "agent"
    agent = [sys.executable, str(Path(__file__).with_name("agent.py")), str(socket_path)]
    with group.remote_shell(members, socket_path):
        yield group.mpirun_flags(members, slots, folder, agent)


def _as_rank0(pid_file: str, argv: list[str]) -> int:
    Path(pid_file).write_text(str(os.getpid()))
    os.execvp(argv[0], argv)  # noqa: S606 - the program that the chart names, without a shell


def main() -> int:
    """Starts the server."""
    if sys.argv[1:2] == ["rank0"]:
        return _as_rank0(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description="Start tritonserver.", allow_abbrev=False)
    parser.add_argument("--world-size", type=int, required=True, help="tensor times pipeline parallelism")
    parser.add_argument("--nodes", type=int, default=1, help="pods of the group, this one included")
    parser.add_argument("--port", type=int, default=group.PORT, help="port for connections of workers")
    parser.add_argument("--wait-s", type=float, default=1800.0, help="maximum time to wait for all workers")
    parser.add_argument("--model-repository", required=True)
    parser.add_argument("--drain-s", type=float, default=60.0, help="at least tritonserver's --exit-timeout-secs")
    parser.add_argument("--tritonserver", default="tritonserver")
    parser.add_argument("--mpirun", default="mpirun")
    parser.add_argument("--through", default="", help="TensorRT-LLM's launcher for the LLM API: trtllm-llmapi-launch")
    parser.add_argument("extra", nargs="*", help="after --: additional flags of tritonserver, as --name=value")
    args = parser.parse_args()

    def program() -> int:
        programs = (args.tritonserver, args.mpirun)
        if args.world_size == 1:
            argv = command(1, args.model_repository, args.extra, *programs, "")
            say("running: " + " ".join(argv))
            os.execvp(argv[0], argv)  # noqa: S606 - the program that the chart names, without a shell
        if args.world_size % args.nodes:
            raise SettingsError(f"{args.world_size} ranks cannot be divided evenly among {args.nodes} nodes.")
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            hosts: Sequence[str] = ("--oversubscribe",)
            if args.nodes > 1:
                slots = args.world_size // args.nodes
                hosts = stack.enter_context(workers(args.nodes, slots, folder, args.port, args.wait_s))
            pid_file = folder / "rank0.pid"
            whole = (args.world_size, args.model_repository, args.extra, *programs, str(pid_file), hosts, args.through)
            argv = command(*whole)
            say("running: " + " ".join(argv))
            return supervise(argv, pid_file, args.drain_s)

    return run(program)


if __name__ == "__main__":
    sys.exit(main())
