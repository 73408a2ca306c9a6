"""The configuration of Traefik."""

from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadgen.local.gateway import Route, routes_config, static_config

STATIC = """\
global:
  checkNewVersion: false
  sendAnonymousUsage: false
log:
  level: WARN
  noColor: true
entryPoints:
  web:
    address: 127.0.0.1:7001
    transport:
      respondingTimeouts:
        readTimeout: 0
        writeTimeout: 0
        idleTimeout: 1h
      lifeCycle:
        graceTimeOut: 0
    http2:
      maxConcurrentStreams: 1000000
  traefik:
    address: 127.0.0.1:7002
serversTransport:
  maxIdleConnsPerHost: 1000000
  forwardingTimeouts:
    dialTimeout: 5s
    responseHeaderTimeout: 0
    idleConnTimeout: 1s
api:
  insecure: true
  dashboard: false
ping:
  entryPoint: traefik
providers:
  providersThrottleDuration: 100ms
  file:
    filename: /work/routes.yml
    watch: true
"""
ROUTES = r"""http:
  routers:
    grpc:
      entryPoints:
      - web
      rule: HeaderRegexp(`Content-Type`, `^application/grpc(\+proto)?$`)
      priority: 2
      service: grpc
    http:
      entryPoints:
      - web
      rule: PathPrefix(`/`)
      priority: 1
      service: http
  services:
    grpc:
      loadBalancer:
        servers:
        - url: h2c://127.0.0.1:8001
        - url: h2c://127.0.0.1:9001
    http:
      loadBalancer:
        servers:
        - url: http://127.0.0.1:8000
        - url: http://127.0.0.1:9000
"""


def test_static_config() -> None:
    """Loopback only, no telemetry, and no timeout that cuts off a stream."""
    assert static_config(entry_port=7001, api_port=7002, routes_file=Path("/work/routes.yml")) == STATIC


def test_routes() -> None:
    """gRPC goes to the replicas' gRPC ports by h2c, other requests to their HTTP ports, in a fixed order."""
    routes = [
        Route(http="127.0.0.1:9000", grpc="127.0.0.1:9001"),
        Route(http="127.0.0.1:8000", grpc="127.0.0.1:8001"),
    ]
    assert routes_config(routes) == routes_config(reversed(routes)) == ROUTES


@given(st.integers(0, 20))
def test_every_replica_has_both_its_servers(count: int) -> None:
    """Any number of replicas, including 0, gives services with that many servers each."""
    routes = [Route(http=f"127.0.0.1:{port}", grpc=f"127.0.0.1:{port + 50}") for port in range(8000, 8000 + count)]
    services = yaml.safe_load(routes_config(routes))["http"]["services"]
    assert {name: len(service["loadBalancer"]["servers"]) for name, service in services.items()} == {
        "grpc": count,
        "http": count,
    }
