"""What a pod's worker knows about its containers; `status.py` turns it into the pod's status."""

from dataclasses import dataclass, field

from loadgen.sandbox.kubelet.node import RUNTIME

_SCHEME = RUNTIME.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container ended; times are seconds since the epoch.

    Attributes:
        exit_code: As a shell counts: 128 + signal when one ended it.
        reason: Such as Completed, Error, OOMKilled.
        message: What it left in its termination message, or why it could not start.
        started_unix_s: When it was started; None when it never was.
        finished_unix_s: When it ended.
        container_id: Its id, without the runtime.
    """

    exit_code: int
    reason: str
    message: str = ""
    started_unix_s: float | None
    finished_unix_s: float
    container_id: str = ""


@dataclass(slots=True, kw_only=True)
class ContainerState:
    """One container of a pod, of all the times it was started.

    Attributes:
        name: Its name.
        waiting: Reason and message while it waits to be started.
        running_unix_s: Since when it runs, seconds since the epoch.
        ended: How it ended, if it does not run.
        last: How it ended the time before.
        restarts: How often it was started again.
        started: Whether its startup probe has passed, or it has none and runs.
        ready: Whether its readiness probe says so, or it has none and has started.
        container_id: Id of the container that runs or ran at last.
    """

    name: str
    waiting: tuple[str, str] | None = ("ContainerCreating", "")
    running_unix_s: float | None = None
    ended: Ended | None = None
    last: Ended | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    container_id: str = ""

    def wait(self, reason: str, message: str = "") -> None:
        """It waits; how it ended becomes its last state."""
        self.last = self.ended or self.last
        self.waiting, self.running_unix_s, self.ended = (reason, message), None, None
        self.started = self.ready = False

    def run(self, container_id: str, since_unix_s: float) -> None:
        """It runs."""
        self.last = self.ended or self.last
        self.waiting, self.running_unix_s, self.ended = None, since_unix_s, None
        self.container_id = container_id

    def end(self, ended: Ended) -> None:
        """It has ended; how it ended before becomes its last state, also when it was not seen to run in between."""
        self.last = self.ended or self.last
        self.waiting, self.running_unix_s, self.ended = None, None, ended
        self.started = self.ready = False


@dataclass(slots=True, kw_only=True)
class PodState:
    """A pod on this node.

    Attributes:
        containers: Its containers by name, init containers first.
        pod_ip: Its address; empty before it has one.
        wired: Whether its namespaces and network exist.
        start_unix_s: When the node took it up.
        phase: A phase that was decided for good, such as Failed by a deadline.
        reason: Why.
        message: In a sentence.
    """

    containers: dict[str, ContainerState] = field(default_factory=dict)
    pod_ip: str = ""
    wired: bool = False
    start_unix_s: float
    phase: str | None = None
    reason: str = ""
    message: str = ""


def public_id(container_id: str) -> str:
    """A container's id as the API shows it."""
    return f"{_SCHEME}://{container_id}" if container_id else ""
