"""Pitfalls of the serving pods (probes, termination, resources, rollouts, disruptions) and of their Services."""

from loadgen.lint.pitfall import error, warning

KILLS_LOADING = error(
    "probe.kills_loading",
    "Triton does not listen until all models are loaded, so the liveness probe restarts a server that loads for "
    "longer than this, over and over.",
    "Add `startupProbe: {httpGet: {path: /v2/health/ready, port: http}, periodSeconds: 5, failureThreshold: 360}`.",
)
NO_STARTUP = warning(
    "probe.no_startup",
    "The liveness probe waits for a fixed time instead of the end of the load: too short for a slow load, too long to "
    "restart a server that hangs.",
    "Add `startupProbe: {httpGet: {path: /v2/health/ready, port: http}, periodSeconds: 5, failureThreshold: 360}`.",
)
STARTUP_SHORT = warning(
    "probe.startup_short",
    "A model that takes longer to load is restarted before it serves; large models and cold image caches take minutes.",
    "Raise `failureThreshold` until periodSeconds × failureThreshold exceeds the slowest load, for example 5 × 360 = "
    "30 min.",
)
NO_READINESS = error(
    "probe.no_readiness",
    "The pod gets requests as soon as its process starts, and they fail until the models are loaded.",
    "Add `readinessProbe: {httpGet: {path: /v2/health/ready, port: http}, periodSeconds: 2}`.",
)
READINESS_LIVE = error(
    "probe.readiness_live",
    "The probe says that the process runs, not that its models can serve, so requests reach a server without them.",
    "Use `httpGet: {path: /v2/health/ready, port: http}`.",
)
LIVENESS_READY = error(
    "probe.liveness_ready",
    "A server that is not ready for a moment, as during a model reload, is restarted and loads its models again.",
    "Use `httpGet: {path: /v2/health/live, port: http}`.",
)
LIVENESS_TCP = warning(
    "probe.liveness_tcp",
    "The port accepts connections while the server behind it hangs, so it is never restarted.",
    "Use `httpGet: {path: /v2/health/live, port: http}`.",
)
LIVENESS_AS_READINESS = error(
    "probe.liveness_as_readiness",
    "Both probes ask the same, and liveness gives up as soon as readiness: a server that should get no requests for a "
    "while is restarted, and loads its models again.",
    "Use `httpGet: {path: /v2/health/live, port: http}` for liveness, with a longer periodSeconds × failureThreshold.",
)
LIVENESS_HASTY = warning(
    "probe.liveness_hasty",
    "A server that is slow to answer its probe under load is restarted, and its requests move to the other replicas.",
    "Set `periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3`.",
)
NOT_STRICT = error(
    "probe.not_strict",
    "With `--strict-readiness=false` the server is ready before its models are, and requests fail.",
    "Remove the flag.",
)
EXPLICIT_MODELS = warning(
    "probe.explicit_models",
    "With explicit model control the server is ready without any model, so requests fail until a client loads one.",
    "Add `--load-model=NAME` for each model, or leave `--model-control-mode` out.",
)
GRACE_SHORT = error(
    "pod.grace_short",
    "The kubelet kills the server before its own time for running requests is over, so a scale-down cuts off "
    "responses.",
    "Set `terminationGracePeriodSeconds` to more than the preStop delay plus `--exit-timeout-secs`.",
)
GRACE_DEFAULT = warning(
    "pod.grace_default",
    "A scale-down or rollout cuts off every response that takes longer than this after the server is told to end.",
    "Set `terminationGracePeriodSeconds` to more than the preStop delay plus the longest generation, for example "
    "`135`.",
)
EXIT_TIMEOUT = warning(
    "pod.exit_timeout",
    "Triton itself ends after 30 s, whatever the grace period of the pod is, and cuts off longer responses.",
    "Set `--exit-timeout-secs` to the longest generation.",
)
NO_PRESTOP = warning(
    "pod.no_prestop",
    "The server refuses new requests at once, while Services and gateways send some until they know that the pod ends.",
    "Set `lifecycle: {preStop: {sleep: {seconds: 5}}}`.",
)
NO_GPU = warning(
    "pod.no_gpu",
    "The scheduler may place the pod on a node without a free GPU, where the server fails or shares a GPU.",
    "Set `resources: {limits: {nvidia.com/gpu: 1}}`.",
)
GPU_REQUEST = error(
    "pod.gpu_request",
    "The API server rejects a pod whose limit of GPUs is missing or differs from its request, and no replica starts.",
    "Set `resources: {limits: {nvidia.com/gpu: 1}}`; the request is then the same.",
)
SHARED_MEMORY = warning(
    "pod.shared_memory",
    "Shared memory has the 64 MiB of the container runtime, with which NCCL and Python models fail under load.",
    "Mount `{name: shm, emptyDir: {medium: Memory, sizeLimit: 16Gi}}` at /dev/shm in the container of the server.",
)
RECREATE = error(
    "rollout.recreate",
    "Each rollout ends all replicas first, and nothing serves until a new one has loaded its model.",
    "Set `strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}`.",
)
UNAVAILABLE = warning(
    "rollout.unavailable",
    "A rollout at the least number of replicas may end all of them, and nothing serves until a new one has loaded its "
    "model.",
    "Set `maxSurge: 1, maxUnavailable: 0` where there is a free GPU, or keep more replicas.",
)
NO_BUDGET = warning(
    "disruption.none",
    "Draining nodes may evict all replicas at once, and nothing serves until new ones have loaded their models.",
    "Add a PodDisruptionBudget with `maxUnavailable: 1` that selects the pods.",
)
BLOCKED = warning(
    "disruption.blocked",
    "The budget allows no eviction at the least number of replicas, so nodes cannot be drained or upgraded.",
    "Set `maxUnavailable: 1`, or keep more replicas than `minAvailable`.",
)
GRPC_PER_CONNECTION = warning(
    "traffic.grpc_per_connection",
    "A Service balances connections, and a gRPC client keeps its one: replicas that the autoscaler adds get no "
    "requests from clients that are connected.",
    "Put a gateway that balances requests in front (Traefik with `scheme: h2c`, a GRPCRoute, a mesh), or add a "
    "headless Service for clients with `round_robin` and set `--grpc-max-connection-age`.",
)
NOT_READY = error(
    "traffic.not_ready",
    "The Service sends requests to pods that are still loading their models, and they fail.",
    "Set `publishNotReadyAddresses: false`.",
)
AFFINITY = warning(
    "traffic.affinity",
    "Each client stays with one replica, so replicas that the autoscaler adds get no requests from known clients.",
    "Set `sessionAffinity: None`.",
)

ALL = (
    KILLS_LOADING,
    NO_STARTUP,
    STARTUP_SHORT,
    NO_READINESS,
    READINESS_LIVE,
    LIVENESS_READY,
    LIVENESS_TCP,
    LIVENESS_AS_READINESS,
    LIVENESS_HASTY,
    NOT_STRICT,
    EXPLICIT_MODELS,
    GRACE_SHORT,
    GRACE_DEFAULT,
    EXIT_TIMEOUT,
    NO_PRESTOP,
    NO_GPU,
    GPU_REQUEST,
    SHARED_MEMORY,
    RECREATE,
    UNAVAILABLE,
    NO_BUDGET,
    BLOCKED,
    GRPC_PER_CONNECTION,
    NOT_READY,
    AFFINITY,
)
