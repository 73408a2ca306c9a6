"""Configures and runs the L7 gateway: Traefik with its file provider, with one entry point for HTTP and h2c gRPC.

Traefik balances every request by itself (round robin), including the streams of one gRPC channel; behind a plain
Service all streams of a channel would go to one replica. Traefik watches one file. Replacing that file changes the
routes within about 0.2 s, and Traefik's API reports when they have changed.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadgen.base.files import write_whole
from loadgen.local.component import Component
from loadgen.local.loopback import LOOPBACK, Unreachable, get

# Traefik collects changes for this long; its default of 2 s would be a second of lag in every scaling event.
_THROTTLE = "100ms"
_MANY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Addresses of one replica that takes requests, as `host:port`."""

    http: str
    grpc: str


def static_config(*, entry_port: int, api_port: int, routes_file: Path) -> str:
    """Return Traefik's static configuration, as YAML.

    It is a file because, with flags, Traefik would prefer a `traefik.yml` in the working directory or of the user.
    """
    return _yaml(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "WARN", "noColor": True},
            "entryPoints": {
                "web": {
                    "address": f"{LOOPBACK}:{entry_port}",
                    # 0 is unlimited: the default of 60 s would cut off longer streams, and 250 streams would queue.
                    "transport": {
                        "respondingTimeouts": {"readTimeout": 0, "writeTimeout": 0, "idleTimeout": "1h"},
                        "lifeCycle": {"graceTimeOut": 0},
                    },
                    "http2": {"maxConcurrentStreams": _MANY},
                },
                "traefik": {"address": f"{LOOPBACK}:{api_port}"},
            },
            "serversTransport": {
                "maxIdleConnsPerHost": _MANY,
                # A terminated Triton waits for every open HTTP connection, idle ones included, until its exit timeout.
                # With the default of 90 s, every replica would run until it is killed.
                "forwardingTimeouts": {"dialTimeout": "5s", "responseHeaderTimeout": 0, "idleConnTimeout": "1s"},
            },
            "api": {"insecure": True, "dashboard": False},
            "ping": {"entryPoint": "traefik"},
            "providers": {
                "providersThrottleDuration": _THROTTLE,
                "file": {"filename": str(routes_file), "watch": True},
            },
        }
    )


def routes_config(routes: Iterable[Route]) -> str:
    """Return the routes to these replicas, as YAML; without routes the gateway answers 503."""
    ordered = sorted(routes, key=lambda route: route.http)

    def service(urls: list[str]) -> dict[str, Any]:
        return {"loadBalancer": {"servers": [{"url": url} for url in urls]}}

    return _yaml(
        {
            "http": {
                "routers": {
                    "grpc": {
                        "entryPoints": ["web"],
                        "rule": r"HeaderRegexp(`Content-Type`, `^application/grpc(\+proto)?$`)",
                        "priority": 2,
                        "service": "grpc",
                    },
                    "http": {"entryPoints": ["web"], "rule": "PathPrefix(`/`)", "priority": 1, "service": "http"},
                },
                "services": {
                    "grpc": service([f"h2c://{route.grpc}" for route in ordered]),
                    "http": service([f"http://{route.http}" for route in ordered]),
                },
            }
        }
    )


class Gateway:
    """Traefik in front of the replicas.

    Attributes:
        component: Its process.
    """

    def __init__(self, program: Path, *, work: Path, logs: Path) -> None:
        self._routes_file = work / "routes.yml"
        self._published = ""
        self.publish(())

        def command(ports: Sequence[int]) -> list[str]:
            config = work / "traefik.yml"
            config.write_text(static_config(entry_port=ports[0], api_port=ports[1], routes_file=self._routes_file))
            return [str(program), f"--configFile={config}"]

        self.component = Component("traefik", command=command, port_count=2, health_path="/ping", logs=logs)

    def publish(self, routes: Iterable[Route]) -> None:
        """Replace the routes; `routed` returns those that are in effect."""
        text = routes_config(routes)
        if text != self._published:
            write_whole(self._routes_file, text.encode())
            self._published = text

    async def routed(self) -> frozenset[str] | None:
        """Return the HTTP addresses of the replicas with a route; None if the gateway does not answer."""
        try:
            status, body = await get(self.component.address(1), "/api/http/services/http@file")
        except Unreachable:
            return None
        return routes_in(body) if status == 200 else None


def routes_in(body: bytes) -> frozenset[str] | None:
    """Return the HTTP addresses in Traefik's description of a service; None if it cannot be read."""
    try:
        servers = json.loads(body)["loadBalancer"].get("servers") or []
        return frozenset(server["url"].removeprefix("http://") for server in servers)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=200)
