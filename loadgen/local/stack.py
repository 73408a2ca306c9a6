"""Runs the local stack in one process: starts all components, restarts them, scales the fleet and shuts all down.

    python -m loadgen.local.stack RUN_FOLDER WORK_FOLDER

Started by `loadgen.local.supervisor`, which cleans up when this process is killed. It reads the scenario from
`run.json`, writes `stack/` (docs/dataset.md), and ends in order on SIGTERM, on SIGINT and when its parent is gone.
"""

import asyncio
import contextlib
import logging
import shutil
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from loadgen.base.clock import Clock
from loadgen.base.errors import ExitCode, LoadgenError, RecordError, StackError
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import lifeline_cut, lifeline_fd
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.outage import Outage
from loadgen.dataset.stack import StackState, StackWriter
from loadgen.local.autoscaler import Autoscaler
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import render_repository
from loadgen.local.fleet import Fleet
from loadgen.local.gateway import Gateway
from loadgen.local.leftovers import hold
from loadgen.local.lifecycle import pod_names
from loadgen.local.programs import Programs, find_programs
from loadgen.local.prometheus import Prometheus
from loadgen.local.resources import check_shared_memory
from loadgen.local.triton import TritonServer, is_ready, queue_is_empty
from loadgen.local.waiting import in_thread, until
from loadgen.scenario.settings import Scenario

STEP_S = 0.1
FIRST_READY_WITHIN_S = 180.0
FIRST_SCRAPE_WITHIN_S = 30.0
MAX_CRASHES_AT_START = 3
SHUT_DOWN_GRACE_S = 5.0

_log = logging.getLogger("loadgen.local.stack")


class Stack:
    """The components of one run, from start to shutdown."""

    def __init__(self, folder: RunFolder, work: Path) -> None:
        info = folder.read_info()
        scenario = Scenario.model_validate(info.settings)
        self._run_id = info.run_id
        self._logs, self._work = folder.logs, work
        self._clock: Clock = info.clock
        self._record = StackWriter(folder.path, info.clock, _log.error)
        self._outage = Outage(work, info.clock, _log.error)
        self._settings = scenario.local
        self._state: StackState = StackState.initial(scenario.model, scenario.local.replicas[0])
        self._autoscaler = Autoscaler(scenario.local)
        self._fleet: Fleet | None = None
        self._gateway: Gateway | None = None
        self._prometheus: Prometheus | None = None

    async def run(self) -> None:
        """Start all components, then watch and scale them until cancelled.

        Raises:
            StackError: A component cannot be downloaded or started.
            RecordError: The disk stays full, or the run folder is gone.
        """
        self._record.write(self._state)
        programs = await in_thread(partial(find_programs, self._record.progress))
        self._state = replace(self._state, versions=programs.versions)
        repository = self._work / "models"
        render_repository(repository, load_profile(self._settings.profile))
        fleet = self._fleet = self._make_fleet(programs, repository)
        gateway = self._gateway = Gateway(programs.traefik, work=self._work, logs=self._logs)
        prometheus = self._prometheus = Prometheus(
            programs.prometheus,
            flags=programs.prometheus_flags,
            settings=self._settings,
            model=self._state.model,
            work=self._work,
            logs=self._logs,
        )
        low = self._settings.replicas[0]
        self._record.progress(f"starting the gateway, Prometheus and {low} {'replica' if low == 1 else 'replicas'}")
        fleet.scale(low, now_s=self._clock.now_s(), warm=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_fleet(fleet, gateway, prometheus))
                components = (gateway.component, prometheus.component)
                await asyncio.wait([group.create_task(component.start()) for component in components])
                for component in components:
                    group.create_task(component.watch(emit=self._emit, clock=self._clock))
                await self._wait_for_replicas(fleet, gateway, prometheus, low)
                self._state = replace(
                    self._state, phase="ready", gateway=gateway.component.address(), prometheus=prometheus.url
                )
                group.create_task(self._autoscale(fleet, prometheus))
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    async def shut_down(self, error: str | None) -> None:
        """Stop all components in order: gateway, replicas, Prometheus. The last state has the reason."""
        self._state = replace(self._state, phase="failed" if error else "stopping", error=error)
        # A record that cannot be written, as on a full disk, must not keep a process alive.
        with contextlib.suppress(LoadgenError):
            self._record.write(self._state)
        if self._gateway:
            await self._gateway.component.stop(1.0)
        if self._fleet:
            try:
                with contextlib.suppress(LoadgenError):
                    await self._stop_fleet(self._fleet)
            finally:
                self._fleet.kill()
        if self._prometheus:
            await self._prometheus.component.stop()
        self._state = replace(self._state, replicas=(), desired=0)
        with contextlib.suppress(LoadgenError):
            self._record.write(self._state)
        shutil.rmtree(self._work, ignore_errors=True)

    def _make_fleet(self, programs: Programs, repository: Path) -> Fleet:
        def launch(name: str) -> TritonServer:
            return TritonServer(
                programs.triton,
                name,
                repository=repository,
                shm_prefix=f"{self._work.name}-",
                log=self._logs / f"{name}.log",
                grace_s=self._settings.grace_s,
            )

        return Fleet(
            names=pod_names(self._run_id),
            launch=launch,
            emit=self._emit,
            startup_delay_s=self._settings.startup_delay_s,
            grace_s=self._settings.grace_s,
        )

    async def _run_fleet(self, fleet: Fleet, gateway: Gateway, prometheus: Prometheus) -> None:
        while True:
            await self._step(fleet, gateway)
            check_shared_memory()
            self._publish(fleet, gateway, prometheus)
            self._state = replace(self._state, desired=fleet.desired, replicas=fleet.states())
            self._record.write(self._state)
            await asyncio.sleep(STEP_S)

    async def _step(self, fleet: Fleet, gateway: Gateway) -> None:
        starting = fleet.starting()
        answers = await asyncio.gather(*(is_ready(address) for _, address in starting))
        healthy = {name for (name, _), ready in zip(starting, answers, strict=True) if ready}
        draining = fleet.draining()
        routed = await gateway.routed() if draining else None
        empty = await asyncio.gather(*(queue_is_empty(address, self._state.model) for _, address in draining))
        empty_queues = {name for (name, _), is_empty in zip(draining, empty, strict=True) if is_empty}
        fleet.step(now_s=self._clock.now_s(), healthy=healthy, routed=routed, empty_queues=empty_queues)

    async def _wait_for_replicas(self, fleet: Fleet, gateway: Gateway, prometheus: Prometheus, count: int) -> None:
        def raise_if_crashing() -> None:
            if fleet.max_crashes >= MAX_CRASHES_AT_START:
                log = self._logs / f"{fleet.states()[0].name}.log"
                raise StackError(f"tritonserver ended while it was starting ({log_tail(log, 1)}): read {log}")

        async def routed() -> bool:
            raise_if_crashing()
            return len(await gateway.routed() or ()) >= count

        async def scraped() -> bool:
            return await prometheus.replicas_up() >= count

        await until(
            routed, FIRST_READY_WITHIN_S, f"{count} replicas were not ready in time: read the logs in {self._logs}"
        )
        self._record.progress("waiting for the first scrape of the replicas")
        await until(scraped, FIRST_SCRAPE_WITHIN_S, f"Prometheus scraped no replicas: read {self._logs}/prometheus.log")

    async def _autoscale(self, fleet: Fleet, prometheus: Prometheus) -> None:
        # As in the controller's queue, the next sync starts one period after the end of this one.
        while True:
            await asyncio.sleep(self._settings.sync_period_s)
            metric_milli = await self._autoscaler.scale(
                fleet, prometheus=prometheus.component.address(), clock=self._clock, emit=self._emit
            )
            self._state = replace(self._state, metric_milli=metric_milli)

    async def _stop_fleet(self, fleet: Fleet) -> None:
        grace_s = min(self._settings.grace_s, SHUT_DOWN_GRACE_S)
        fleet.shut_down(now_s=self._clock.now_s(), grace_s=grace_s)
        for _ in range(int((grace_s + 2.0) / STEP_S)):
            # The gateway has stopped, so no client waits for an answer.
            empty_queues = [name for name, _ in fleet.draining()]
            fleet.step(now_s=self._clock.now_s(), healthy=(), routed=(), empty_queues=empty_queues)
            if not fleet.states():
                break
            await asyncio.sleep(STEP_S)

    def _publish(self, fleet: Fleet, gateway: Gateway, prometheus: Prometheus) -> None:
        """Tell gateway and Prometheus about changes of the fleet; on a full disk, the next step tries again."""
        try:
            gateway.publish(fleet.routes())
            prometheus.publish(fleet.metrics())
        except RecordError as error:
            self._outage.failed(error)
        else:
            self._outage.end()

    def _emit(self, event: Event) -> None:
        self._record.emit(event)
        _log.info("%.3f %s %s %s", event.t_s, event.kind, event.pod or "", event.message or "")


async def serve(run: Path, work: Path) -> ExitCode:
    """Run the stack of a run folder until a signal arrives, the parent process ends, or an error stops the stack.

    Returns:
        PASS after a requested shutdown, TOOL after an error.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    end = lifeline_fd()
    if end is not None:
        loop.add_reader(end, lambda: stop.set() if lifeline_cut() else None)
    stack = Stack(RunFolder(run), work)
    running, stopped = asyncio.create_task(stack.run()), asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if end is not None:
        loop.remove_reader(end)
    running.cancel()
    error = None
    try:
        await running
    except asyncio.CancelledError:
        pass
    except LoadgenError as failure:
        error = str(failure)
        _log.error(error)
    except Exception:
        _log.exception("unexpected error in the local stack")
        error = f"unexpected error in the local stack: report it with the log {run / 'logs' / 'stack.log'}"
    stopped.cancel()
    await stack.shut_down(error)
    return ExitCode.TOOL if error else ExitCode.PASS


def main(arguments: list[str]) -> int:
    """Run the stack; the arguments are the run folder and the work folder."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    run, work = map(Path, arguments)
    hold(work)
    return asyncio.run(serve(run, work))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
