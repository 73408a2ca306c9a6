"""Locust's load shape: how many users there are, and when the test is over; the arrivals decide everything else."""

from collections.abc import Callable

from locust import LoadTestShape

SPAWN_PER_S = 100.0
"""Users that Locust starts per second: above that it warns, and the load waits for its users anyway."""


class ScenarioShape(LoadTestShape):
    """As many users as the plan needs, until the run says that it is over.

    Args:
        users: Number of users that keep the loop open.
        over: Asked about once a second; True ends the test.
    """

    abstract = True  # made by the plugin for a plan; Locust must not make one by itself

    def __init__(self, users: Callable[[], int], over: Callable[[], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._users = users
        self._over = over

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate, or None at the end."""
        users = self._users()
        return None if self._over() else (users, min(float(users), SPAWN_PER_S))
