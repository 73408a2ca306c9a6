"""The results of `loadgen selftest`: kept in the cache, printed, and compared with what a scenario asks for."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from loadgen.base.files import write_whole
from loadgen.programs.cache import cache_dir, make_cache

SAFE_RATIO = 0.7
"""Share of a ceiling up to which a load is not remarkable."""
_FILE = "selftest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """What one process of the load generator can do on this machine.

    Attributes:
        machine: Host name and version that the numbers belong to.
        http_requests_per_s: Requests over HTTP each second, sixteen in flight.
        grpc_requests_per_s: The same over gRPC.
        http_streams: Largest number of streams of 40 tokens per second over HTTP with token times true to 1 ms (p99).
        grpc_streams: The same over gRPC.
        http_tokens_per_s: Tokens of these streams each second, over HTTP.
        grpc_tokens_per_s: The same over gRPC.
        tls_connections_per_s: New connections with TLS each second.
        schedule_error_p99_s: 99th percentile of how late requests are sent at 1,000 per second.
        gateway: The numbers of HTTP and gRPC against a server whose headers differ with each answer.
    """

    machine: str
    http_requests_per_s: float
    grpc_requests_per_s: float
    http_streams: int
    grpc_streams: int
    http_tokens_per_s: float
    grpc_tokens_per_s: float
    tls_connections_per_s: float
    schedule_error_p99_s: float
    gateway: Mapping[str, float]

    @classmethod
    def of(cls, plain: Mapping[str, Any], gateway: Mapping[str, float]) -> "Ceilings":
        """Return the ceilings of this machine."""
        return cls(machine=_machine(), gateway=dict(gateway), **plain)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def text(self) -> str:
        """Return a table."""
        rows = [("", "plain server", "gateway (headers change)")]
        for name, label in (
            ("http_requests_per_s", "HTTP requests per second"),
            ("grpc_requests_per_s", "gRPC requests per second"),
            ("http_streams", "HTTP streams of 40 tokens per second"),
            ("grpc_streams", "gRPC streams of 40 tokens per second"),
            ("tls_connections_per_s", "TLS connections per second"),
        ):
            other = self.gateway.get(name)
            rows.append((label, f"{getattr(self, name):,.0f}", "" if other is None else f"{other:,.0f}"))
        rows.append(("lateness of requests at 1,000 per second, p99", f"{1000 * self.schedule_error_p99_s:.2f} ms", ""))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join((*lines, "One process; the server ran on the same machine, so that these are lower bounds."))


def _machine() -> str:
    return f"{platform.node()} {platform.machine()} triton-loadgen {version('triton-loadgen')}"


def save(ceilings: Ceilings) -> None:
    """Keep the ceilings in the cache folder.

    Raises:
        StackError: there is no cache folder.
    """
    folder = cache_dir()
    make_cache(folder)
    write_whole(folder / _FILE, json.dumps(ceilings.to_json()).encode())


def last() -> Ceilings | None:
    """Return the ceilings of the last self-test of this machine and version; None without one."""
    try:
        values = json.loads((cache_dir() / _FILE).read_text())
        found = Ceilings(**values)
    except Exception:  # no cache, an older file, or one that is damaged: none of these is worth a message
        return None
    return found if found.machine == _machine() else None


def remark(ceilings: Ceilings | None, protocol: str, rate_per_s: float, processes: int) -> str:
    """Return what the self-test says about a load, as a sentence; empty if the load is well below the ceiling.

    Args:
        ceilings: The last self-test; None without one.
        protocol: Wire protocol.
        rate_per_s: Highest rate of the load.
        processes: Processes that send it.
    """
    if ceilings is None:
        return "this machine has no self-test: `loadgen selftest` measures in 20 s how much load it can generate"
    ceiling_per_s = processes * (ceilings.grpc_requests_per_s if protocol == "grpc" else ceilings.http_requests_per_s)
    if rate_per_s <= SAFE_RATIO * ceiling_per_s:
        return ""
    return (
        f"the load reaches {rate_per_s:,.0f} requests per second, {rate_per_s / ceiling_per_s:.0%} of what "
        f"{processes} {'process' if processes == 1 else 'processes'} of this machine can send by the last "
        f"`loadgen selftest`: use more processes (--processes), or the run may be INVALID"
    )
