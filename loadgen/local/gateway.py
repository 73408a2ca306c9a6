"""The layer-7 gateway: Traefik with its file provider, one entry point for HTTP and h2c gRPC.

Every request is balanced on its own (round robin), also the streams of one gRPC channel: behind a plain Service they
would all stay with one replica. Traefik watches one file; replacing it changes the routes within about 0.2 s, and
Traefik's own API tells when it has.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadgen.base.files import write_whole
from loadgen.local.http import Unreachable, get
from loadgen.local.part import Part
from loadgen.local.triton import LOOPBACK

# Traefik collects changes for this long; its default of 2 s would be a second of lag in every scaling event.
_THROTTLE = "100ms"
_MANY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where one replica takes requests, as `host:port`."""

    http: str
    grpc: str


def static_config(*, entry_port: int, api_port: int, routes_file: Path) -> str:
    """Traefik's own settings, as YAML.

    A file, not flags: with flags Traefik would still prefer a `traefik.yml` of the working directory or the user.
    """
    return _yaml(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "WARN", "noColor": True},
            "entryPoints": {
                "web": {
                    "address": f"{LOOPBACK}:{entry_port}",
                    # 0 is without limit: the default of 60 s would cut a longer stream, 250 streams would queue
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
                # a terminated Triton waits for every open HTTP connection, idle ones included, until its exit timeout:
                # with the default of 90 s no replica would ever end before it is killed
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
    """The routes to the replicas that take requests, as YAML; without any the gateway answers 503."""
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
        part: The program.
    """

    def __init__(self, program: Path, *, work: Path, logs: Path) -> None:
        self._routes_file = work / "routes.yml"
        self._published = ""
        self.publish(())

        def command(ports: Sequence[int]) -> list[str]:
            config = work / "traefik.yml"
            config.write_text(static_config(entry_port=ports[0], api_port=ports[1], routes_file=self._routes_file))
            return [str(program), f"--configFile={config}"]

        self.part = Part("traefik", command=command, port_count=2, health_path="/ping", logs=logs)

    def publish(self, routes: Iterable[Route]) -> None:
        """Make these the replicas that get requests; `routed` tells when they do."""
        text = routes_config(routes)
        if text != self._published:
            write_whole(self._routes_file, text.encode())
            self._published = text

    async def routed(self) -> frozenset[str] | None:
        """HTTP addresses of the replicas that get requests at this moment; None when the gateway does not answer."""
        try:
            status, body = await get(self.part.address(1), "/api/http/services/http@file")
            if status != 200:
                return None
            servers = json.loads(body)["loadBalancer"].get("servers") or []
            return frozenset(server["url"].removeprefix("http://") for server in servers)
        except (Unreachable, ValueError, KeyError):
            return None


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=200)
