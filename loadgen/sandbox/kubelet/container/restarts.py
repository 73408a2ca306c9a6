"""Decides whether and when a container is restarted.

Whether: by the restart rules and the restart policy of the container and its pod. When: immediately after the first
exit, then with a back-off that starts at 10 s and doubles up to 5 minutes.

    exit    exit        exit                exit
     ├─start ├──10 s──start ├────20 s────start ├──── … ≤ 300 s

The back-off is reset when a container exits more than 10 minutes after its last restart.
"""

from dataclasses import dataclass

from loadgen.sandbox.kubelet.objects import Json

FIRST_DELAY_S = 10.0
MAX_DELAY_S = 300.0
RESET_AFTER_S = 600.0


def should_restart(pod: Json, container: Json, exit_code: int, *, init: bool = False) -> bool:
    """Return whether the container is to be restarted.

    The first matching restart rule of the container decides, then the container's own policy, then the pod's. A pod
    with the policy Always restarts an init container only after a failure; sidecars have the policy Always themselves.

    Args:
        pod: The pod.
        container: Spec of the container.
        exit_code: Exit code of the container.
        init: Whether it is an init container.
    """
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if listed == (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy")
    if policy is None:
        policy = pod["spec"].get("restartPolicy", "Always")
        if init and policy == "Always":
            policy = "OnFailure"
    return bool(policy == "Always" or (policy == "OnFailure" and exit_code != 0))


@dataclass(slots=True)
class BackOff:
    """The back-off of one container.

    All times are seconds of the same clock.

    Attributes:
        delay_s: Current delay between an exit and the next start.
    """

    delay_s: float = 0.0
    _restarted_s: float | None = None

    def wait_s(self, exited_s: float, now_s: float) -> float:
        """Return the seconds from `now_s` until a container that exited at `exited_s` may start."""
        if self._restarted_s is None or self._is_reset(exited_s):
            return 0.0
        return max(0.0, exited_s + self.delay_s - now_s)

    def restarted(self, exited_s: float, now_s: float) -> None:
        """Record that the container that exited at `exited_s` is restarted at `now_s`."""
        if self._restarted_s is None or self._is_reset(exited_s):
            self.delay_s = FIRST_DELAY_S
        else:
            self.delay_s = min(2 * self.delay_s, MAX_DELAY_S)
        self._restarted_s = now_s

    def _is_reset(self, exited_s: float) -> bool:
        return self._restarted_s is not None and exited_s - self._restarted_s > RESET_AFTER_S
