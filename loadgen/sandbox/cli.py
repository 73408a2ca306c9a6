"""The commands `loadgen sandbox build | up | down | exec | open`."""

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
from typing import Any

from pydantic import ValidationError

from loadgen.base.errors import SettingsError, StackError
from loadgen.base.processes import Child
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox.build.build import build, find
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.config import Node, SandboxConfig
from loadgen.sandbox.forward import serve
from loadgen.sandbox.interruption import interruptible

_WATCH_S = 0.5


def add_commands(commands: Any) -> None:
    """Add the command `sandbox` and its subcommands to the parser of `loadgen`."""
    sandbox = commands.add_parser("sandbox", help="run a real Kubernetes control plane on this machine")
    verbs = sandbox.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="build its programs from source into the cache (10 to 20 minutes, once)")
    up = verbs.add_parser("up", help="start a sandbox and keep it running until Ctrl-C")
    up.add_argument("--nodes", type=int, default=2, help="number of nodes (%(default)s)")
    up.add_argument("--gpus", type=int, default=4, help="GPUs of each node (%(default)s)")
    up.add_argument("--gpu-product", default="NVIDIA-H100-80GB-HBM3", help="product label of the GPUs (%(default)s)")
    up.add_argument("--image-pull-s", type=float, default=0.0, help="emulated duration of an image's first pull, s")
    up.add_argument("--no-addons", action="store_true", help="control plane only, without DNS, Prometheus and Traefik")
    up.add_argument("--keep", action="store_true", help="keep the data on shutdown, and start with the kept data")
    up.add_argument("--detach", action="store_true", help="return when it is ready; stop it with `down`")
    up.add_argument(
        "--controller-manager-flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="additional flag, for example --controller-manager-flag=--horizontal-pod-autoscaler-sync-period=5s",
    )
    down = verbs.add_parser("down", help="stop a sandbox and remove its data")
    down.add_argument("--delete", action="store_true", help="remove the data even if it was started with --keep")
    execute = verbs.add_parser(
        "exec", help="run a command inside, with KUBECONFIG, kubectl and helm: exec -- kubectl …"
    )
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    forward = verbs.add_parser("open", help="forward a port of this machine to an address inside, until Ctrl-C")
    forward.add_argument("address", help="host:port inside, such as prometheus.monitoring.svc:9090")
    forward.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free port)")
    for verb in (up, down, execute, forward):
        verb.add_argument("--name", default="default", help="name of the sandbox (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Run a subcommand; return the exit code.

    Raises:
        LoadgenError: the subcommand failed.
    """
    if options.verb == "build":
        with interruptible("interrupted: finished programs are kept, `loadgen sandbox build` continues with the rest"):
            tools = build(progress=_say)
        _say(f"the sandbox's {len(tools)} programs and CRD folders are in {tools['etcd'].parents[1]}")
        return 0
    sandbox = Sandbox.named(options.name)
    if options.verb == "down":
        was_up = sandbox.holder() is not None
        (sandbox.delete if options.delete else sandbox.down)()
        _say(f"the sandbox {sandbox.name!r} is down" if was_up else f"the sandbox {sandbox.name!r} was not up")
        return 0
    if options.verb == "exec":
        argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
        if not argv:
            raise SettingsError("no command given: add it after --, as in `loadgen sandbox exec -- kubectl get pods`")
        sandbox.exec(argv)
    if options.verb == "open":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_open(sandbox, options.address, options.port))
        return 0
    return _up(sandbox, options)


def _up(sandbox: Sandbox, options: argparse.Namespace) -> int:
    product = options.gpu_product if options.gpus else None
    with interruptible("interrupted before the sandbox started: `loadgen sandbox up` continues with what is missing"):
        tools = find(progress=_say)
        if not options.no_addons:
            find_tritonserver(progress=_say)  # now, as nothing can be downloaded inside
    try:
        config = SandboxConfig(
            name=sandbox.name,
            folder=sandbox.folder,
            tools=tools,
            nodes=tuple(
                Node(name=f"node-{number + 1}", gpu_product=product, gpus=options.gpus)
                for number in range(options.nodes)
            ),
            image_pull_s=options.image_pull_s,
            addons=not options.no_addons,
            emulated=not options.no_addons,
            controller_manager_flags=tuple(options.controller_manager_flag),
            durable=options.keep,
        )
    except ValidationError as error:
        raise SettingsError(f"invalid settings for the sandbox: {error.errors()[0]['msg']}") from error
    with interruptible(
        "interrupted while the sandbox started: everything is removed, `loadgen sandbox up` starts again"
    ):
        unshare = sandbox.up(config, say=_say, attached=not options.detach)
    second = "interrupted during the shutdown: its processes are killed, `loadgen sandbox down` removes its folder"
    with interruptible(second), _StopSignals() as stop:
        name = "" if sandbox.name == "default" else f" --name {sandbox.name}"
        _say(f"ready: `loadgen sandbox exec{name} -- kubectl get pods -A`; logs in {sandbox.folder / 'logs'}")
        if options.detach:
            return 0
        _say("stop it with Ctrl-C")
        return _watch(sandbox, unshare, stop)


def _watch(sandbox: Sandbox, unshare: Child, stop: threading.Event) -> int:
    """Report components that exit until a signal stops the sandbox."""
    reported: dict[str, str] = {}
    while not stop.wait(_WATCH_S):
        state = sandbox.state()
        if unshare.poll() is not None:
            reason = sandbox.exit_reason()
            sandbox.remove_all_but_logs()
            raise StackError(reason)
        messages = {each.name: each.exit_message for each in state.components if each.exit_message} if state else {}
        for name, message in messages.items():
            if reported.get(name) != message:
                _say(f"sandbox: {message}")
        reported = messages
    _say("stopping the sandbox")
    sandbox.down()
    return 0


class _StopSignals:
    """Turns SIGINT and SIGTERM into an event while a block runs; a second signal raises KeyboardInterrupt."""

    def __enter__(self) -> threading.Event:
        stop = threading.Event()

        def handle(number: int, _: object) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            stop.set()

        self._before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return stop

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


async def _open(sandbox: Sandbox, address: str, port: int) -> None:
    sandbox.connect(address).close()  # fails now if the address does not accept connections
    server = await serve(sandbox, address, port)
    _say(f"{address} is at 127.0.0.1:{server.sockets[0].getsockname()[1]}; stop with Ctrl-C")
    try:
        await asyncio.Event().wait()
    finally:
        server.close()  # without waiting for connections, which browsers keep open


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
