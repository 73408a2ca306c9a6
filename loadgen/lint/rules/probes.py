"""Rules for the probes of the servers, and for flags that decide when Triton is ready."""

import re
from collections.abc import Iterator

from loadgen.kube.objects.fields.workloads import Probe
from loadgen.lint.codes import serving
from loadgen.lint.pitfall import Pitfall
from loadgen.lint.servers import Server
from loadgen.lint.setup import Setup

_SLOW_LOAD_S = 300
"""Loads of LLMs take minutes: a server that is killed before this does not start on a cold node."""
_HASTY_S = 15
_SAME_S = 30
"""A liveness probe that asks the same as the readiness probe gives a server at least this long."""
_HEALTH = re.compile(r"/v2/health/(live|ready)\b")


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of the probes of every server."""
    for server in setup.servers:
        yield from _startup(server)
        yield from _readiness(server)
        yield from _liveness(server)


def _failed_after_s(probe: Probe) -> int:
    """Seconds from the start of a container until a probe that never succeeds restarts it."""
    return probe.initialDelaySeconds + _repeated_s(probe)


def _repeated_s(probe: Probe) -> int:
    return (probe.periodSeconds or 10) * (probe.failureThreshold or 3)


def _shown(probe: Probe) -> str:
    return (
        f"initialDelaySeconds {probe.initialDelaySeconds}, periodSeconds {probe.periodSeconds}, "
        f"failureThreshold {probe.failureThreshold}: {_failed_after_s(probe)} s"
    )


def _startup(server: Server) -> Iterator[Pitfall]:
    startup, liveness = server.container.startupProbe, server.container.livenessProbe
    if startup is not None:
        if _failed_after_s(startup) < _SLOW_LOAD_S and not server.workload.emulated:
            field = f"{server.container_field}.startupProbe"
            yield server.object.pitfall(serving.STARTUP_SHORT, field, _shown(startup))
    elif liveness is not None:
        is_short = _failed_after_s(liveness) < _SLOW_LOAD_S
        code = serving.KILLS_LOADING if is_short else serving.NO_STARTUP
        value = f"{_shown(liveness)}, without a startupProbe"
        yield server.object.pitfall(code, f"{server.container_field}.livenessProbe", value)


def _readiness(server: Server) -> Iterator[Pitfall]:
    probe, field = server.container.readinessProbe, f"{server.container_field}.readinessProbe"
    if probe is None:
        yield server.object.pitfall(serving.NO_READINESS, field, "not set")
    elif probe.tcpSocket is not None or _path(probe).startswith("/v2/health/live"):
        yield server.object.pitfall(serving.READINESS_LIVE, field, _path(probe) or "tcpSocket")
    command = f"{server.container_field}.command and args"
    if any(value.lower() in ("false", "0") for value in server.flags("strict-readiness")):
        yield server.object.pitfall(serving.NOT_STRICT, command, "--strict-readiness=false")
    if "explicit" in server.flags("model-control-mode") and not server.flags("load-model"):
        yield server.object.pitfall(serving.EXPLICIT_MODELS, command, "--model-control-mode=explicit")


def _liveness(server: Server) -> Iterator[Pitfall]:
    probe, field = server.container.livenessProbe, f"{server.container_field}.livenessProbe"
    if probe is None:
        return
    if _path(probe).startswith("/v2/health/ready"):
        yield server.object.pitfall(serving.LIVENESS_READY, field, _path(probe))
    elif probe.tcpSocket is not None:
        yield server.object.pitfall(serving.LIVENESS_TCP, field, f"tcpSocket, port {probe.tcpSocket.port}")
    elif (readiness := server.container.readinessProbe) is not None and _gives_up_as_soon(probe, readiness):
        value = f"{_path(probe) or 'the same call'}, as readiness: {_repeated_s(probe)} s until the restart"
        yield server.object.pitfall(serving.LIVENESS_AS_READINESS, field, value)
        return
    if _repeated_s(probe) < _HASTY_S:
        value = f"{probe.failureThreshold} failures, {probe.periodSeconds} s apart: {_repeated_s(probe)} s"
        yield server.object.pitfall(serving.LIVENESS_HASTY, field, value)


def _gives_up_as_soon(liveness: Probe, readiness: Probe) -> bool:
    """Whether a liveness probe makes the same call as the readiness probe, and fails as soon or within seconds.

    Where both ask for `/v2/health/live`, the readiness probe is wrong.
    """
    if _path(liveness).startswith("/v2/health/live"):
        return False
    calls = ((each.httpGet, each.grpc, each.exec) for each in (liveness, readiness))
    return next(calls) == next(calls) and _repeated_s(liveness) <= max(_repeated_s(readiness), _SAME_S)


def _path(probe: Probe) -> str:
    """The path that a probe asks for, by HTTP or with a command such as curl; empty for any other probe."""
    if probe.httpGet:
        return probe.httpGet.path
    found = _HEALTH.search(" ".join(probe.exec.command)) if probe.exec else None
    return found[0] if found else ""
