"""States of a pod and its containers on this node, from which `status.py` builds the pod's status."""

from dataclasses import dataclass, field

from loadgen.sandbox.kubelet.node import RUNTIME

_SCHEME = RUNTIME.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """How a container terminated; times are seconds since the epoch.

    Attributes:
        exit_code: Exit code, or 128 + the signal that killed the container.
        reason: Such as Completed, Error or OOMKilled.
        message: Termination message, or why the container could not start.
        started_unix_s: Start of the container; None when it never started.
        finished_unix_s: Exit of the container.
        container_id: Id of the container, without the runtime's prefix.
    """

    exit_code: int
    reason: str
    message: str = ""
    started_unix_s: float | None
    finished_unix_s: float
    container_id: str = ""


@dataclass(slots=True, kw_only=True)
class ContainerState:
    """State of one container of a pod: waiting, running or terminated.

    Attributes:
        name: Name of the container.
        waiting: Reason and message while it waits.
        running_unix_s: Start of the running container, seconds since the epoch.
        terminated: How it terminated, unless it waits or runs.
        last_terminated: How it terminated the time before.
        restarts: Number of restarts.
        started: Whether its startup probe has passed, or it runs without one.
        ready: Whether its readiness probe succeeds, or it has started without one.
        container_id: Id of the latest container.
    """

    name: str
    waiting: tuple[str, str] | None = ("ContainerCreating", "")
    running_unix_s: float | None = None
    terminated: Terminated | None = None
    last_terminated: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    container_id: str = ""

    def set_waiting(self, reason: str, message: str = "") -> None:
        """Change to waiting; a termination becomes the last one."""
        self.last_terminated = self.terminated or self.last_terminated
        self.waiting, self.running_unix_s, self.terminated = (reason, message), None, None
        self.started = self.ready = False

    def set_running(self, container_id: str, since_unix_s: float) -> None:
        """Change to running; a termination becomes the last one."""
        self.last_terminated = self.terminated or self.last_terminated
        self.waiting, self.running_unix_s, self.terminated = None, since_unix_s, None
        self.container_id = container_id

    def set_terminated(self, terminated: Terminated) -> None:
        """Change to terminated; an earlier termination becomes the last one, even without a running state between."""
        self.last_terminated = self.terminated or self.last_terminated
        self.waiting, self.running_unix_s, self.terminated = None, None, terminated
        self.started = self.ready = False


@dataclass(slots=True, kw_only=True)
class PodState:
    """State of a pod on this node.

    Attributes:
        containers: States of its containers by name, init containers first.
        pod_ip: Address of the pod; empty until it has one.
        network_ready: Whether its namespaces and network exist.
        start_unix_s: When the kubelet accepted the pod.
        phase: A final phase that does not depend on the containers, such as Failed by an active deadline.
        reason: Reason of that phase.
        message: Message of that phase.
    """

    containers: dict[str, ContainerState] = field(default_factory=dict)
    pod_ip: str = ""
    network_ready: bool = False
    start_unix_s: float
    phase: str | None = None
    reason: str = ""
    message: str = ""


def prefixed_id(container_id: str) -> str:
    """Return a container's id with the runtime's prefix, as in a pod's status."""
    return f"{_SCHEME}://{container_id}" if container_id else ""
