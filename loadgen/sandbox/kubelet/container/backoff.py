"""When a container that ended is started again: at once, then after 10 s, doubling up to 5 minutes.

    end     end         end                 end
     ├─start ├──10 s──start ├────20 s────start ├──── … ≤ 300 s
A container whose last restart lies more than 10 minutes before its end starts at once again.
"""

from dataclasses import dataclass

FIRST_S = 10.0
LONGEST_S = 300.0
FORGOTTEN_S = 600.0


@dataclass(slots=True)
class BackOff:
    """The back-off of one container; times are seconds of one clock."""

    delay_s: float = 0.0
    _decided_s: float | None = None

    def wait_s(self, ended_s: float, now_s: float) -> float:
        """Seconds still to wait at `now_s` before the container that ended at `ended_s` may start; 0 for none."""
        if self._decided_s is None or self._forgotten(ended_s):
            return 0.0
        return max(0.0, ended_s + self.delay_s - now_s)

    def restarted(self, ended_s: float, now_s: float) -> None:
        """Note that the container that ended at `ended_s` is started again now."""
        if self._decided_s is None or self._forgotten(ended_s):
            self.delay_s = FIRST_S
        else:
            self.delay_s = min(2 * self.delay_s, LONGEST_S)
        self._decided_s = now_s

    def _forgotten(self, ended_s: float) -> bool:
        return self._decided_s is not None and ended_s - self._decided_s > FORGOTTEN_S
