"""Locust's load shape: the number of users, and the end of the test."""

from collections.abc import Callable

from locust import LoadTestShape

SPAWN_PER_S = 100.0
"""Users that Locust spawns per second; Locust warns above this, and the load starts after its users in any case."""


class ScenarioShape(LoadTestShape):
    """Keeps as many users as the requests need until the run is over.

    Args:
        users: Returns the number of users; 0 where the requests need none.
        is_over: Called about once per second; True ends the test.
    """

    abstract = True  # created by the plugin; Locust must not instantiate it

    def __init__(self, users: Callable[[], int], is_over: Callable[[], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._users = users
        self._is_over = is_over

    def tick(self) -> tuple[int, float] | None:
        """Return users and spawn rate, or None at the end of the test."""
        users = self._users()
        return None if self._is_over() else (users, min(max(users, 1.0), SPAWN_PER_S))
