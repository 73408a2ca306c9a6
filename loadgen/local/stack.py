"""The local stack: one process that starts all parts, looks after them, scales the fleet and ends everything.

    python -m loadgen.local.stack RUN_FOLDER WORK_FOLDER

Started by `loadgen.local.guardian`, which cleans up when this process is killed. It reads the scenario from
`run.json`, writes `stack/` (docs/dataset.md), and ends in order on SIGTERM, on SIGINT and when its parent is gone.
"""

import asyncio
import contextlib
import logging
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from loadgen.base.clock import Clock
from loadgen.base.errors import ExitCode, LoadgenError, StackError
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import lifeline_cut, lifeline_fd
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import StackFolder, StackState
from loadgen.local.autoscaler import Autoscaler
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import render_repository
from loadgen.local.fleet import Fleet
from loadgen.local.gateway import Gateway
from loadgen.local.http import is_ready
from loadgen.local.lifecycle import names
from loadgen.local.programs import Programs, find_programs
from loadgen.local.prometheus import Prometheus
from loadgen.local.replica import TritonServer, queue_is_empty
from loadgen.local.waiting import in_thread, until
from loadgen.scenario.settings import Scenario

STEP_S = 0.1
FIRST_READY_WITHIN_S = 180.0
FIRST_SCRAPE_WITHIN_S = 30.0
CRASHES_AT_START = 3
SHUT_DOWN_GRACE_S = 5.0

_log = logging.getLogger("loadgen.local.stack")


class Stack:
    """All parts of one run, from nothing to ready to gone."""

    def __init__(self, folder: RunFolder, work: Path) -> None:
        info = folder.read_info()
        scenario = Scenario.model_validate(info.settings)
        self._run_id = info.run_id
        self._logs, self._work, self._record = folder.logs, work, StackFolder(folder.path)
        self._clock: Clock = info.clock
        self._settings = scenario.local
        self._state: StackState = StackState.initial(scenario.model, scenario.local.replicas[0])
        self._written: StackState | None = None
        self._autoscaler = Autoscaler(scenario.local)
        self._fleet: Fleet | None = None
        self._gateway: Gateway | None = None
        self._prometheus: Prometheus | None = None

    async def run(self) -> None:
        """Bring everything up, then keep and scale it until cancelled.

        Raises:
            StackError: a part cannot be fetched or started.
            DatasetError: the disk is full.
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
                group.create_task(self._keep_fleet(fleet, gateway, prometheus))
                parts = (gateway.part, prometheus.part)
                await asyncio.wait([group.create_task(part.start()) for part in parts])
                for part in parts:
                    group.create_task(part.watch(emit=self._emit, clock=self._clock))
                await self._first_ready(fleet, gateway, prometheus, low)
                self._state = replace(
                    self._state, phase="ready", gateway=gateway.part.address(), prometheus=prometheus.url
                )
                group.create_task(self._autoscale(fleet, prometheus))
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None

    async def shut_down(self, error: str | None) -> None:
        """End all parts in order: gateway, replicas, Prometheus. The last state tells why."""
        self._state = replace(self._state, phase="failed" if error else "stopping", error=error)
        # what cannot be recorded any more (a full disk) must not keep anything alive
        with contextlib.suppress(LoadgenError):
            self._record.write(self._state)
        if self._gateway:
            await self._gateway.part.stop(1.0)
        if self._fleet:
            try:
                with contextlib.suppress(LoadgenError):
                    await self._end_fleet(self._fleet)
            finally:
                self._fleet.kill()
        if self._prometheus:
            await self._prometheus.part.stop()
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
            names=names(self._run_id),
            launch=launch,
            emit=self._emit,
            startup_delay_s=self._settings.startup_delay_s,
            grace_s=self._settings.grace_s,
        )

    async def _keep_fleet(self, fleet: Fleet, gateway: Gateway, prometheus: Prometheus) -> None:
        while True:
            await self._step(fleet, gateway)
            gateway.publish(fleet.routes())
            prometheus.publish(fleet.metrics())
            self._write_changes(fleet)
            await asyncio.sleep(STEP_S)

    async def _step(self, fleet: Fleet, gateway: Gateway) -> None:
        loading = fleet.loading()
        answers = await asyncio.gather(*(is_ready(address) for _, address in loading))
        healthy = {name for (name, _), ready in zip(loading, answers, strict=True) if ready}
        leaving = fleet.leaving()
        routed = await gateway.routed() if leaving else None
        empty = await asyncio.gather(*(queue_is_empty(address, self._state.model) for _, address in leaving))
        queueless = {name for (name, _), is_empty in zip(leaving, empty, strict=True) if is_empty}
        fleet.step(now_s=self._clock.now_s(), healthy=healthy, routed=routed, queueless=queueless)

    async def _first_ready(self, fleet: Fleet, gateway: Gateway, prometheus: Prometheus, count: int) -> None:
        def crashed() -> None:
            if fleet.most_crashes >= CRASHES_AT_START:
                log = self._logs / f"{fleet.states()[0].name}.log"
                raise StackError(f"tritonserver ends while it starts ({log_tail(log, 1)}): read {log}")

        async def routed() -> bool:
            crashed()
            return len(await gateway.routed() or ()) >= count

        async def scraped() -> bool:
            return await prometheus.replicas_up() >= count

        await until(routed, FIRST_READY_WITHIN_S, f"no {count} replicas were ready: read the logs in {self._logs}")
        self._record.progress("waiting for the first scrape of the replicas")
        await until(scraped, FIRST_SCRAPE_WITHIN_S, f"Prometheus does not scrape: read {self._logs}/prometheus.log")

    async def _autoscale(self, fleet: Fleet, prometheus: Prometheus) -> None:
        # the controller's queue: the next pass comes one period after the end of this one
        while True:
            await asyncio.sleep(self._settings.sync_period_s)
            metric_milli = await self._autoscaler.scale(
                fleet, prometheus=prometheus.part.address(), clock=self._clock, emit=self._emit
            )
            self._state = replace(self._state, metric_milli=metric_milli)

    async def _end_fleet(self, fleet: Fleet) -> None:
        grace_s = min(self._settings.grace_s, SHUT_DOWN_GRACE_S)
        fleet.shut_down(now_s=self._clock.now_s(), grace_s=grace_s)
        for _ in range(int((grace_s + 2.0) / STEP_S)):
            # the gateway is gone, and with it whoever waited for an answer
            queueless = [name for name, _ in fleet.leaving()]
            fleet.step(now_s=self._clock.now_s(), healthy=(), routed=(), queueless=queueless)
            if not fleet.states():
                break
            await asyncio.sleep(STEP_S)

    def _write_changes(self, fleet: Fleet) -> None:
        self._state = replace(self._state, desired=fleet.desired, replicas=fleet.states())
        if self._state != self._written:
            self._record.write(self._state)
            self._written = self._state

    def _emit(
        self,
        kind: str,
        *,
        t_s: float,
        pod: str | None = None,
        reason: str | None = None,
        message: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self._record.emit(kind, t_s=t_s, pod=pod, reason=reason, message=message, data=data)
        _log.info("%.3f %s %s %s", t_s, kind, pod or "", message or "")


async def serve(run: Path, work: Path) -> ExitCode:
    """Run the stack of one run folder until a signal, the end of the parent, or a fault that it cannot mend.

    Returns:
        PASS after an orderly end on request, TOOL after a fault.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    end = lifeline_fd()
    if end is not None:
        loop.add_reader(end, lambda: stop.set() if lifeline_cut() else None)
    stack = Stack(RunFolder(run), work)
    running, asked = asyncio.create_task(stack.run()), asyncio.create_task(stop.wait())
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    if end is not None:
        loop.remove_reader(end)
    running.cancel()
    error = None
    try:
        await running
    except asyncio.CancelledError:
        pass
    except LoadgenError as told:
        error = str(told)
    except Exception:
        _log.exception("a fault of the stack itself")
        error = f"the local stack has a fault of its own: report it with the log in {run / 'logs' / 'stack.log'}"
    asked.cancel()
    await stack.shut_down(error)
    return ExitCode.TOOL if error else ExitCode.PASS


def main(arguments: list[str]) -> int:
    """Entry point: run folder, then work folder."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    run, work = map(Path, arguments)
    return asyncio.run(serve(run, work))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
