"""Counts the established TCP connections to the replicas of this machine, in the tables of the kernel."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadgen.collect.rows import Sample
from loadgen.collect.scrape_targets import Replica
from loadgen.dataset.names import SignalName

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
MAX_BYTES = 16 << 20
"""A table of more bytes, about 100,000 connections, is not read: it would take too long."""


def open_connections(replicas: Sequence[Replica], t_s: float, tables: Sequence[Path] = _TABLES) -> list[Sample]:
    """Count the connections to the replicas with ports on this machine; empty where the kernel has no such tables.

    Args:
        replicas: The replicas.
        t_s: Time of the samples.
        tables: The tables of the kernel.
    """
    here = [replica for replica in replicas if replica.ports and replica.ready]
    if not here:
        return []
    try:
        counts = Counter(port for table in tables if table.exists() for port in _local_ports(table))
    except OSError:
        return []
    if not any(table.exists() for table in tables):
        return []
    return [
        Sample(t_s, SignalName.CONNECTIONS, replica.name, float(sum(counts[port] for port in replica.ports)))
        for replica in here
    ]


def _local_ports(table: Path) -> Iterator[int]:
    """The local port of each established connection."""
    with table.open(encoding="ascii", errors="replace") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise OSError(f"{table} has more than {MAX_BYTES} bytes")
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _ESTABLISHED:
            yield int(fields[1].rpartition(":")[2], 16)
