"""Declares the names that the tables of a run folder hold: event kinds, signals, outcomes, causes and sources.

Every member equals the string in the tables and has a label, a meaning and, where applicable, a unit. `MARK_SYMBOLS`
maps the event kinds that the page draws to their symbols.
`docs/glossary.md` is generated from these declarations.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self


class _Name(StrEnum):
    """A string of the tables with what readers need to know about it.

    Attributes:
        label: What the page calls it.
        meaning: One sentence.
        unit: Unit of its values; empty where it has none.
    """

    label: str
    meaning: str
    unit: str

    def __new__(cls, value: str, label: str, meaning: str, unit: str = "") -> Self:
        """Make a member that equals `value`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.label, member.meaning, member.unit = label, meaning, unit
        return member


class TokenSource(_Name):
    """A value of the column `token_source` of `requests/`."""

    SERVER = "server", "tokens", "The server counted the output tokens."
    CHUNKS = (
        "chunks",
        "chunks",
        "The server gave no count, so received chunks are counted; a chunk can hold several tokens.",
    )


class MarkSymbol(StrEnum):
    """A symbol of the page's time axis; `loadgen_reports.panels` gives each its shape and colour."""

    SCALE_UP = "up"
    SCALE_DOWN = "down"
    CREATED = "created"
    READY = "ready"
    NOT_READY = "not_ready"
    STOPPED = "stopped"
    FAILURE = "trouble"
    LOAD = "load"
    OTHER = "other"


class EventKind(_Name):
    """A value of the column `kind` of `events/`."""

    LOAD_STARTED = "load_started", "load started", "The first stage began."
    LOAD_ENDED = "load_ended", "load ended", "Every scheduled request has its outcome."
    LOAD_STOPPED = (
        "load_stopped",
        "load stopped early",
        "The run was stopped before its load was over.",
    )
    REPLICA_CREATED = "replica_created", "replica created", "The pod was created."
    REPLICA_UNSCHEDULABLE = (
        "replica_unschedulable",
        "replica unschedulable",
        "The scheduler found no node for the pod; the message holds the scheduler's reason.",
    )
    REPLICA_SCHEDULED = "replica_scheduled", "replica scheduled", "The pod was assigned to a node."
    REPLICA_PULLING = "replica_pulling", "replica pulling", "The image pull and engine load began (local stack)."
    REPLICA_STARTED = "replica_started", "replica started", "All containers of the pod run."
    REPLICA_READY = "replica_ready", "replica ready", "The pod became ready."
    REPLICA_NOT_READY = (
        "replica_not_ready",
        "replica not ready",
        "The pod lost its readiness, because a probe failed or its node did.",
    )
    REPLICA_DRAINING = (
        "replica_draining",
        "replica terminating",
        "The termination of the pod began; requests in flight may still finish.",
    )
    REPLICA_CRASHED = (
        "replica_crashed",
        "replica crashed",
        "The server process exited unexpectedly; it is restarted with back-off.",
    )
    REPLICA_KILLED = (
        "replica_killed",
        "replica killed",
        "The server process did not exit within its grace period and was killed.",
    )
    REPLICA_STOPPED = (
        "replica_stopped",
        "replica stopped",
        "The pod was deleted, evicted or preempted, or ran to its end.",
    )
    POD_CONDITION = "pod_condition", "pod condition", "A condition of a pod changed."
    CONTAINER_STATE = (
        "container_state",
        "container state",
        "A container of a pod is waiting, running or terminated.",
    )
    POD_EVENT = "pod_event", "pod event", "A Kubernetes event about a pod from the scheduler or a kubelet."
    ROLLOUT_STARTED = (
        "rollout_started",
        "rollout started",
        "The workload got a new ReplicaSet: its pod template changed during the run.",
    )
    NODE_LOST = (
        "node_lost",
        "node lost",
        "A node with replicas on it became not ready or was removed from the cluster.",
    )
    NODE_BACK = "node_back", "node back", "A lost node became ready again."
    NODE_CONDITION = (
        "node_condition",
        "node condition",
        "A condition of a node with replicas on it, such as MemoryPressure, was first observed or changed.",
    )
    HPA_SYNC = "hpa_sync", "HPA sync", "The autoscaler evaluated its metric once."
    HPA_RESCALE = (
        "hpa_rescale",
        "rescale",
        "The desired replica count changed; the page draws scale-ups and scale-downs with symbols of their own.",
    )
    PART_DIED = (
        "part_died",
        "process exited",
        "Prometheus, the gateway or the local stack itself exited unexpectedly.",
    )
    RECORDING_DELAYED = (
        "recording_delayed",
        "recording delayed",
        "The run folder could not be written, as on a full disk; rows stayed in memory and were written later.",
    )
    COLLECT_GAP = (
        "collect_gap",
        "collection gap",
        "No data was collected from a source for a span of time.",
    )
    CLOCK_STEP = (
        "clock_step",
        "clock step",
        "A wall clock was set during the run: that of this machine, or that of a source whose samples have its time.",
    )


EVENT_KINDS: Mapping[str, EventKind] = {kind.value: kind for kind in EventKind}
"""Event kinds by the text in the tables, for tables that may hold kinds of a newer version."""

MARK_SYMBOLS: Mapping[str, MarkSymbol] = {
    EventKind.LOAD_STARTED: MarkSymbol.LOAD,
    EventKind.LOAD_ENDED: MarkSymbol.LOAD,
    EventKind.LOAD_STOPPED: MarkSymbol.LOAD,
    EventKind.REPLICA_CREATED: MarkSymbol.CREATED,
    EventKind.REPLICA_UNSCHEDULABLE: MarkSymbol.OTHER,
    EventKind.REPLICA_READY: MarkSymbol.READY,
    EventKind.REPLICA_NOT_READY: MarkSymbol.NOT_READY,
    EventKind.REPLICA_DRAINING: MarkSymbol.STOPPED,
    EventKind.REPLICA_CRASHED: MarkSymbol.FAILURE,
    EventKind.REPLICA_KILLED: MarkSymbol.FAILURE,
    EventKind.NODE_LOST: MarkSymbol.OTHER,
    EventKind.NODE_BACK: MarkSymbol.OTHER,
    EventKind.PART_DIED: MarkSymbol.FAILURE,
    EventKind.COLLECT_GAP: MarkSymbol.FAILURE,
    EventKind.CLOCK_STEP: MarkSymbol.FAILURE,
}
"""The symbols of the event kinds that the page draws; a rescale is drawn as a scale-up or a scale-down."""

REPLICA_EVENTS = frozenset(
    {
        EventKind.REPLICA_CREATED,
        EventKind.REPLICA_UNSCHEDULABLE,
        EventKind.REPLICA_SCHEDULED,
        EventKind.REPLICA_PULLING,
        EventKind.REPLICA_STARTED,
        EventKind.REPLICA_READY,
        EventKind.REPLICA_NOT_READY,
        EventKind.REPLICA_DRAINING,
        EventKind.REPLICA_CRASHED,
        EventKind.REPLICA_KILLED,
        EventKind.REPLICA_STOPPED,
    }
)
"""The life cycle of a replica: a pod with one of these events is a replica."""


class RescaleReason(_Name):
    """A value of the column `reason` of an `hpa_rescale`; it is null where the cause is unknown."""

    BY_AUTOSCALER = "SuccessfulRescale", "by the autoscaler", "The autoscaler changed the replica count."
    NOT_BY_AUTOSCALER = (
        "NotByAutoscaler",
        "not by the autoscaler",
        "Something other than the autoscaler changed the replica count, such as a user or a rollout.",
    )


class GapSource(_Name):
    """A value of `source` in the data of a `collect_gap`."""

    PROMETHEUS = "prometheus", "Prometheus", "The Prometheus server."
    METRICS = "metrics", "replica metrics", "The /metrics endpoint of one replica."
    CUSTOM_METRICS = "custom-metrics", "custom metrics API", "The custom metrics API of a cluster."
    KUBERNETES = "kubernetes", "Kubernetes API", "A watch of the Kubernetes API, named in `watch`."
    DISK = "disk", "disk", "The disk of the run folder: it was full, and the oldest samples in memory were dropped."


class SignalName(_Name):
    """A value of the column `signal` of `samples/`; the unit of a counter says so."""

    RATIO = (
        "ratio",
        "queue-to-compute ratio",
        "Queue-to-compute ratio of a replica, as the autoscaler reads it.",
        "ratio",
    )
    UP = "up", "scrape health", "Whether the last scrape of the replica succeeded.", "0 or 1"
    AUTOSCALER_RATIO = (
        "autoscaler_ratio",
        "ratio in the custom metrics API",
        "Queue-to-compute ratio of a replica, as the custom metrics API serves it to the HPA controller.",
        "ratio",
    )
    ENGINE_ACTIVE = "engine_active", "active requests", "Requests that the engine executes.", "requests"
    ENGINE_WAITING = "engine_waiting", "waiting requests", "Requests that wait inside the engine.", "requests"
    KV_USED_RATIO = "kv_used_ratio", "KV cache usage", "Share of the KV cache blocks in use.", "ratio"
    RAW_QUEUE_US = "raw_queue_us", "queue time", "Time that requests for the model spent in the queue.", "µs, counter"
    RAW_COMPUTE_US = "raw_compute_us", "compute time", "Time that the model spent on inference.", "µs, counter"
    RAW_OTHER_QUEUE_US = (
        "raw_other_queue_us",
        "queue time of other models",
        "Time that requests for the other models of the replica spent in the queue.",
        "µs, counter",
    )
    RAW_OTHER_COMPUTE_US = (
        "raw_other_compute_us",
        "compute time of other models",
        "Time that the other models of the replica spent on inference.",
        "µs, counter",
    )
    RAW_SUCCESS = "raw_success", "successful requests", "Requests for the model that succeeded.", "requests, counter"
    RAW_FAILURE = "raw_failure", "failed requests", "Requests for the model that failed.", "requests, counter"
    RAW_PENDING = "raw_pending", "pending requests", "Requests for the model that wait in Triton's queue.", "requests"
    CONNECTIONS = (
        "connections",
        "open connections",
        "Established TCP connections to the ports of a replica that serve requests; replicas of this machine only.",
        "connections",
    )
    NODE_CPU_RATIO = (
        "node_cpu_ratio",
        "CPU use of a node",
        "Share of its CPUs that a node with replicas on it uses, by the metrics API of a cluster.",
        "ratio",
    )
    NODE_MEMORY_RATIO = (
        "node_memory_ratio",
        "memory use of a node",
        "Share of its memory that a node with replicas on it uses (working set), by the metrics API of a cluster.",
        "ratio",
    )
    REPLICA_CPU_RATIO = (
        "replica_cpu_ratio",
        "CPU use of a replica",
        "Share of the CPUs of its node that a replica uses, by the metrics API of a cluster.",
        "ratio",
    )
    REPLICA_MEMORY_RATIO = (
        "replica_memory_ratio",
        "memory use of a replica",
        "Share of the memory of its node that a replica uses (working set), by the metrics API of a cluster.",
        "ratio",
    )
    GENERATOR_CPU_S = (
        "generator_cpu_s",
        "CPU time of the load generator",
        "CPU time that a process of the load generator has used.",
        "s, counter",
    )
    GENERATOR_LOOP_LAG_S = (
        "generator_loop_lag_s",
        "event loop lag of the load generator",
        "How late the event loop of a process of the load generator woke up for this sample.",
        "s",
    )
    HOST_CPU_RATIO = (
        "host_cpu_ratio",
        "busy CPUs of the generator's machine",
        "Busy share of all CPUs of the load generator's machine since the last sample.",
        "ratio",
    )
    HOST_STEAL_RATIO = (
        "host_steal_ratio",
        "CPU steal of the generator's machine",
        "Share of the CPU time that other virtual machines took from the generator's machine since the last sample.",
        "ratio",
    )
    HOST_CPU_PRESSURE_RATIO = (
        "host_cpu_pressure_ratio",
        "CPU pressure of the generator's machine",
        "Share of the time since the last sample in which a process of the load generator's machine waited for a CPU.",
        "ratio",
    )


NODE_SIGNALS = frozenset({SignalName.NODE_CPU_RATIO, SignalName.NODE_MEMORY_RATIO})
"""Signals of nodes, whose column `pod` is the name of the node."""

NODE_USE_SIGNALS = NODE_SIGNALS | {SignalName.REPLICA_CPU_RATIO, SignalName.REPLICA_MEMORY_RATIO}
"""Signals of the metrics API of a cluster."""

GENERATOR_SIGNALS = frozenset(
    {
        SignalName.GENERATOR_CPU_S,
        SignalName.GENERATOR_LOOP_LAG_S,
        SignalName.HOST_CPU_RATIO,
        SignalName.HOST_STEAL_RATIO,
        SignalName.HOST_CPU_PRESSURE_RATIO,
    }
)
"""Signals of the load generator, whose column `pod` is `load` and the number of the process."""


class Outcome(_Name):
    """A value of the column `outcome` of `requests/`."""

    OK = "ok", "ok", "The final answer arrived, with output."
    REJECTED = (
        "rejected",
        "rejected",
        "The server refused the request: its queue is full, it is unavailable, or it does not have the model.",
    )
    TIMEOUT = "timeout", "timeout", "The last token did not arrive within `request_timeout_s` of the time of sending."
    ERROR = "error", "error", "Any other error, including an error inside an HTTP 200 and an empty answer."
    CUT_OFF = "cut_off", "cut off", "Output began and then ended without a final answer, or the request was cancelled."
    NOT_SENT = "not_sent", "not sent", "The request was due and was never sent."


OUTCOMES: Mapping[str, Outcome] = {outcome.value: outcome for outcome in Outcome}
"""Outcomes by the text in the tables."""


class StopCause(_Name):
    """A value of `stop_cause` in `run.json`, and of the column `reason` of a `load_stopped`; labels end a sentence."""

    CTRL_C = "ctrl_c", "by Ctrl-C", "Ctrl-C, or SIGINT from another process."
    TERMINATED = "sigterm", "by SIGTERM", "SIGTERM, as from `kill` or at the end of a pod."
    HANGUP = "sighup", "because its terminal was closed", "SIGHUP: the terminal of the run was closed."
    RUN_TIME = "run_time", "by its run time (-t)", "The run time was over: `-t`, or the field of the web UI."
    WEB_UI = "web_ui", "with Stop in the web UI", "Stop was pressed in the web UI."
    CODE = (
        "code",
        "by code that called runner.quit() or runner.stop()",
        "Code in the locustfile, or in a plugin of Locust, stopped the test.",
    )


class Cause(_Name):
    """A value of the column `cause` of `requests/` that does not come from a server or a library."""

    RUN_STOPPED = (
        "run stopped",
        "run stopped",
        "The run was stopped: a request in flight is judged by its age, one that was not sent is not judged.",
    )
    USER_STOPPED = (
        "user stopped",
        "user stopped",
        "Locust stopped the user that sent the request; it makes the run invalid and is not judged.",
    )
    NO_FREE_USER = "no free user", "no free user", "No Locust user was free when the request was due."
    TIMEOUT = "no last token within the time-out", "timed out", "The request timed out."
    NOT_RECORDABLE = (
        "not recordable",
        "not recordable",
        "A value of the row could not be written and is missing; the log names the request.",
    )
    EMPTY_ANSWER = "empty answer", "empty answer", "The answer was complete and carried no output."
    OTHER = "other", "other causes", "All causes beyond the most frequent ones, in lists of causes; no row has it."
    NO_DESCRIPTOR = (
        "Too many open files on the load generator",
        "no file descriptor",
        "The load generator had no free file descriptor; it makes the run invalid and is not judged.",
    )
    NO_PORT = (
        "No free port on the load generator",
        "no local port",
        "The load generator had no free port for a connection; it makes the run invalid and is not judged.",
    )
    NO_MEMORY = (
        "Out of memory on the load generator",
        "no memory",
        "The load generator had no memory for a connection; it makes the run invalid and is not judged.",
    )


GENERATOR_CAUSES = frozenset({Cause.USER_STOPPED, Cause.NO_DESCRIPTOR, Cause.NO_PORT, Cause.NO_MEMORY})
"""Causes that lie with the load generator: such requests never count as the server's failures."""


class FailureCause(_Name):
    """Why a request failed, by what the run folder shows; a key of `failures` in `analysis.json`."""

    NOT_READY = "not_ready", "pod not ready", "It reached a replica that was not ready yet."
    SCALE_DOWN = "scale_down", "scale-down", "Its replica terminated because of a scale-down and cut it off."
    REPLICA_LOST = "replica_lost", "replica lost", "Its replica crashed, or was killed without a scale-down."
    OVERLOAD = (
        "overload",
        "overload",
        "A queue was full, or it timed out while requests waited or more replicas were needed than served.",
    )
    GATEWAY = "gateway", "gateway", "The gateway answered it: it had no replica, or could not reach one."
    CLIENT = "client", "load generator", "The load generator did not send it, or ended it itself."
    NOT_ATTRIBUTED = "not_attributed", "not attributed", "Nothing in the run folder shows why it failed."
