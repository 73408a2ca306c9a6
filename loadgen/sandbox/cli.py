"""`loadgen sandbox build | up | down | exec | open`."""

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
    """Add `sandbox` and what it can do to the subparsers of `loadgen`."""
    sandbox = commands.add_parser("sandbox", help="a real Kubernetes control plane on this machine, pods as processes")
    verbs = sandbox.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="build its programs from source into the cache (10 to 20 minutes, once)")
    up = verbs.add_parser("up", help="start it and hold it until Ctrl-C")
    up.add_argument("--nodes", type=int, default=2, help="number of nodes (%(default)s)")
    up.add_argument("--gpus", type=int, default=4, help="GPUs of each node (%(default)s)")
    up.add_argument("--gpu-product", default="NVIDIA-H100-80GB-HBM3", help="label of the GPUs (%(default)s)")
    up.add_argument("--image-pull-s", type=float, default=0.0, help="emulated image pull, first time on a node")
    up.add_argument("--no-addons", action="store_true", help="the control plane only: no DNS, Prometheus, gateway")
    up.add_argument("--keep", action="store_true", help="keep its state at the end, and start with what was kept")
    up.add_argument("--detach", action="store_true", help="return once it is ready; `down` ends it")
    up.add_argument(
        "--controller-manager-flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="such as --horizontal-pod-autoscaler-sync-period=5s (write --controller-manager-flag=--horizontal-…)",
    )
    down = verbs.add_parser("down", help="end it; nothing of it is left")
    down.add_argument("--delete", action="store_true", help="remove its state too, if it was to be kept")
    execute = verbs.add_parser(
        "exec", help="run a command inside, with KUBECONFIG, kubectl and helm: exec -- kubectl …"
    )
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    forward = verbs.add_parser("open", help="open an address inside on a port of this machine, until Ctrl-C")
    forward.add_argument("address", help="host:port inside, such as prometheus.monitoring.svc:9090")
    forward.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (a free one)")
    for verb in (up, down, execute, forward):
        verb.add_argument("--name", default="default", help="name of the sandbox (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit code.

    Raises:
        LoadgenError: it cannot be done; the sentence says what to do next.
    """
    if options.verb == "build":
        with interruptible("interrupted: what was built is kept, `loadgen sandbox build` goes on with the rest"):
            tools = build(progress=_say)
        _say(f"the sandbox's {len(tools)} programs and definitions are in {tools['etcd'].parents[1]}")
        return 0
    sandbox = Sandbox.named(options.name)
    if options.verb == "down":
        was_up = sandbox.holder() is not None
        (sandbox.delete if options.delete else sandbox.down)()
        _say(f"sandbox {sandbox.name!r} is down" if was_up else f"no sandbox {sandbox.name!r} was up")
        return 0
    if options.verb == "exec":
        argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
        if not argv:
            raise SettingsError(
                "no command given: write it behind --, as in `loadgen sandbox exec -- kubectl get pods`"
            )
        sandbox.exec(argv)
    if options.verb == "open":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_open(sandbox, options.address, options.port))
        return 0
    return _up(sandbox, options)


def _up(sandbox: Sandbox, options: argparse.Namespace) -> int:
    product = options.gpu_product if options.gpus else None
    tools = find(progress=_say)
    if not options.no_addons:
        find_tritonserver(progress=_say)  # now, as nothing can be fetched from inside
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
        raise SettingsError(f"the sandbox cannot be made so: {error.errors()[0]['msg']}") from error
    with interruptible(
        "interrupted while the sandbox started: nothing of it is left, `loadgen sandbox up` starts again"
    ):
        world = sandbox.up(config, say=_say, attached=not options.detach)
    at_once = "interrupted while it ended: its processes end with this one, `loadgen sandbox down` removes its folder"
    with interruptible(at_once), _ended_by_signals() as asked:
        name = "" if sandbox.name == "default" else f" --name {sandbox.name}"
        _say(f"ready: `loadgen sandbox exec{name} -- kubectl get pods -A`; logs in {sandbox.folder / 'logs'}")
        if options.detach:
            return 0
        _say("Ctrl-C ends it")
        return _hold(sandbox, world, asked)


def _hold(sandbox: Sandbox, world: Child, asked: threading.Event) -> int:
    told: dict[str, str] = {}
    while not asked.wait(_WATCH_S):
        state = sandbox.state()
        if world.poll() is not None:
            why = sandbox.why_gone()
            sandbox.leave_logs()
            raise StackError(why)
        deaths = {part.name: part.death for part in state.parts if part.death} if state else {}
        for name, death in deaths.items():
            if told.get(name) != death:
                _say(f"sandbox: {death}")
        told = deaths
    _say("ending the sandbox")
    sandbox.down()
    return 0


class _ended_by_signals:
    """Turns SIGINT and SIGTERM into an event while the sandbox stands; a second one interrupts at once."""

    def __enter__(self) -> threading.Event:
        asked = threading.Event()

        def ask(number: int, _: object) -> None:
            if asked.is_set():
                raise KeyboardInterrupt
            asked.set()

        self._before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return asked

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


async def _open(sandbox: Sandbox, address: str, port: int) -> None:
    sandbox.connect(address).close()  # a first try tells trouble before anybody waits
    server = await serve(sandbox, address, port)
    _say(f"{address} is at 127.0.0.1:{server.sockets[0].getsockname()[1]}; Ctrl-C ends it")
    try:
        await asyncio.Event().wait()
    finally:
        server.close()  # and no wait for connections: a browser keeps its own open


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
