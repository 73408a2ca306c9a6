"""Identifies the host of a process, so that load generators know whether they share a clock and a loopback."""

from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK = Path("/proc/self/ns/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A kernel and a network namespace, each by a unique identifier; empty where the platform has none.

    Attributes:
        boot: Boot identifier; processes with the same one share a monotonic clock.
        network: Network namespace; processes with the same one and the same boot share a loopback interface.
    """

    boot: str
    network: str

    @classmethod
    def here(cls) -> "Host":
        """Return the host of this process."""
        try:
            # each kernel numbers its network namespaces independently
            return cls(boot=_BOOT_ID.read_text().strip(), network=str(_NETWORK.stat().st_ino))
        except OSError:
            return cls(boot="", network="")

    def same_clock(self, other: "Host") -> bool:
        """Whether both share one monotonic clock."""
        return self.boot == other.boot

    def same_loopback(self, other: "Host") -> bool:
        """Whether both share one loopback interface."""
        return self == other
