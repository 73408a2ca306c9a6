"""Dispatches Locust's users to its workers, once for every run."""

from locust import User
from locust.dispatch import UsersDispatcher
from locust.runners import STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerNode

from loadgen.base.console import say


class FixedDispatcher(UsersDispatcher):
    """Leaves the users where they are once `fixed` is set.

    When a worker joins or leaves, Locust moves users between workers, and stops some in the middle of a request.
    A worker that joins later takes part in the next run.
    """

    fixed = False

    @property
    def dispatch_in_progress(self) -> bool:
        """Whether Locust must not dispatch because a worker joined or left."""
        return self.fixed or super().dispatch_in_progress

    def add_worker(self, worker_node: WorkerNode) -> None:
        """Add a worker, unless the users are fixed."""
        if self.fixed:
            say(f"worker {worker_node.id} joined during a run and sends nothing in it: it takes part in the next run")
        else:
            super().add_worker(worker_node)

    def remove_worker(self, worker_node: WorkerNode) -> None:
        """Remove a worker, unless the users are fixed."""
        if not self.fixed:
            super().remove_worker(worker_node)


class Dispatchers:
    """Makes one dispatcher for every run of a master."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._current: FixedDispatcher | None = None
        runner.environment.dispatcher_class = self._make  # type: ignore[assignment]  # Locust calls it as a class

    def fix(self) -> None:
        """Leave the users of the current run where they are."""
        if self._current is not None:
            self._current.fixed = True

    def _make(self, worker_nodes: list[WorkerNode], user_classes: list[type[User]]) -> FixedDispatcher:
        # during a run, Locust asks for another dispatcher when a worker has been lost for a minute
        if self._current is None or self._runner.state not in (STATE_RUNNING, STATE_SPAWNING):
            self._current = FixedDispatcher(worker_nodes=worker_nodes, user_classes=user_classes)
        return self._current
