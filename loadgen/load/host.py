"""Where a process runs, as far as processes that send together must know of one another."""

from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK = Path("/proc/self/ns/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A kernel and a network, each known by a name that no other one has; empty where the platform has no such name.

    Attributes:
        boot: Processes with the same one share a monotonic clock.
        network: Processes with the same one, and the same boot, share a loopback interface.
    """

    boot: str
    network: str

    @classmethod
    def here(cls) -> "Host":
        """Where this process runs."""
        try:
            # network namespaces are numbered by each kernel for itself
            return cls(boot=_BOOT_ID.read_text().strip(), network=str(_NETWORK.stat().st_ino))
        except OSError:
            return cls(boot="", network="")

    def same_clock(self, other: "Host") -> bool:
        """Whether a reading of the monotonic clock means the same on both."""
        return self.boot == other.boot

    def same_loopback(self, other: "Host") -> bool:
        """Whether 127.0.0.1 is the same place from both."""
        return self == other
