"""Pitfalls of autoscalers: their metrics and targets, their behavior, and several on one workload."""

from loadgen.lint.pitfall import error, warning

RATIO_DIVIDED = error(
    "metric.ratio_divided",
    "AverageValue divides the value by the number of replicas, and a ratio or a mean is one already: the more replicas "
    "there are, the lower it looks.",
    "Use a metric of type Pods with AverageValue, or `type: Value` (KEDA: `metricType: Value`).",
)
TOTAL_UNDIVIDED = warning(
    "metric.total_undivided",
    "Value compares the total of the fleet with the target and multiplies the replicas by the quotient: a total does "
    "not fall when replicas are added, so the fleet grows to maxReplicas.",
    "Use `type: AverageValue` (KEDA: `metricType: AverageValue`) for a total.",
)
EXTERNAL_SUM = error(
    "metric.external_sum",
    "An External metric is the sum of all series, here one for each pod, so Value compares the sum of the ratios "
    "with the target.",
    "Use a metric of type Pods with AverageValue, or record one mean for the fleet.",
)
CPU = error(
    "metric.cpu",
    "The replicas wait for their GPUs: CPU and memory hardly change with the load, or change with tokenizers.",
    "Scale on the requests that wait or on the slots in use: `triton:queue_compute:ratio` and `triton:busy:ratio` of "
    "the bundled chart.",
)
GPU_UTILIZATION = warning(
    "metric.gpu_utilization",
    "GPU utilization is the share of time with any kernel, and is near 100 % with a few requests: it does not tell a "
    "busy replica from a full one.",
    "Scale on the requests that wait or on the share of slots in use.",
)
UNREACHABLE = error(
    "metric.unreachable",
    "The metric has an upper bound, and the target with the tolerance of the HPA is at it or above: the fleet never "
    "grows.",
    "Use a target below the bound divided by 1 + tolerance, for example `800m` for a share of slots.",
)
TARGET_DEFAULT = warning(
    "metric.target_default",
    "A target of 1 is the default of NVIDIA's tutorial: it means that requests wait as long as they are processed, "
    "which may be far beyond the limit for the time to first token.",
    "Find the ratio at which the time to first token reaches its limit with a load test, and set `averageValue` below "
    "it.",
)
TARGET_NOISE = warning(
    "metric.target_noise",
    "The ratio exceeds such a target whenever two requests arrive close together, so the fleet grows without need.",
    "Set a target above the ratio of a steady load that one replica carries, usually `100m` or more.",
)
RATIO_ONLY = warning(
    "metric.ratio_only",
    "The ratio is 0 at every load that the replicas carry, so the fleet shrinks to minReplicas after each peak "
    "and the queue builds up again, even at constant load.",
    "Add a metric that is proportional to the load, such as the share of slots in use with a target of `800m`.",
)
UNRECORDED = warning(
    "metric.unrecorded",
    "No recording rule here makes this series, so the HPA gets no metric unless a rule elsewhere does.",
    "Add the rule, or correct the name of the metric.",
)
ZERO_BLIND = error(
    "metric.zero_blind",
    "With 0 replicas there are no pods to report the metric, so the workload can never scale up from 0 again.",
    "Set the least number of replicas to 1, or add a trigger that exists without replicas, such as the request rate of "
    "the gateway.",
)
NULL_AS_ZERO = warning(
    "keda.null_as_zero",
    "An empty result counts as 0: while Prometheus is down or misses scrapes, the fleet shrinks to its minimum under "
    "load.",
    'Set `ignoreNullValues: "false"` in the metadata of the trigger.',
)
KEDA_ACTIVATION = error(
    "keda.activation",
    "While no trigger exceeds its activationThreshold, KEDA removes the last replica and starts none, here also under "
    "a load that needs one: requests find no server.",
    "Set `activationThreshold` below `threshold`, or leave it out, which means 0.",
)
KEDA_POLLING = warning(
    "keda.polling",
    "Without replicas, KEDA queries the trigger only once in this interval, and the first request waits for that and "
    "for a whole model load.",
    "Set `pollingInterval: 5`, or keep one replica.",
)
KEDA_CACHED = warning(
    "keda.cached",
    "With useCachedMetrics each sync of the HPA reads what KEDA last polled, which is older by up to pollingInterval, "
    "instead of a query of its own.",
    "Remove `useCachedMetrics`, or set `pollingInterval` to 15 or less.",
)
KEDA_COOLDOWN = warning(
    "keda.cooldown",
    "The last replica is removed after a pause that is shorter than the minutes in which a new one loads its model, "
    "and the next request waits for that.",
    "Set `cooldownPeriod: 300`, or longer than the pauses between requests.",
)
HPA_INVALID = error(
    "hpa.invalid",
    "The API server rejects this autoscaler, and nothing scales.",
    "Correct the field that the value names.",
)
HPA_VERSION = error(
    "hpa.version",
    "Kubernetes no longer serves this version (v2beta1 since 1.25, v2beta2 since 1.26), or it has no metric but CPU "
    "(v1).",
    "Use `apiVersion: autoscaling/v2`.",
)
NO_BEHAVIOR = warning(
    "hpa.no_behavior",
    "Kubernetes' defaults apply: after five minutes of a low metric all replicas above minReplicas go in one step, and "
    "come back only after a whole model load.",
    "Set `behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}`.",
)
SCALE_DOWN_AT_ONCE = warning(
    "hpa.scale_down_at_once",
    "All replicas above minReplicas may go in one step, and come back only after a whole model load.",
    "Set `scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}`.",
)
SCALE_DOWN_WINDOW = warning(
    "hpa.scale_down_window",
    "Replicas are removed after a pause that is shorter than the minutes in which a new one loads its model, so "
    "the fleet flaps.",
    "Set `scaleDown: {stabilizationWindowSeconds: 300}`, or longer than a model load.",
)
SCALE_DOWN_DISABLED = warning(
    "hpa.scale_down_disabled",
    "The fleet stays at the size of its highest peak, and every replica is paid for.",
    "Set `scaleDown: {selectPolicy: Max}`.",
)
SCALE_UP_WINDOW = warning(
    "hpa.scale_up_window",
    "The fleet grows only after the metric was high for the whole window, and the queue grows meanwhile.",
    "Set `scaleUp: {stabilizationWindowSeconds: 0}`.",
)
TOLERANCE_NARROW = warning(
    "hpa.tolerance_narrow",
    "Deviations of a few percent change the number of replicas, and a ratio of counters deviates by more at a constant "
    "load.",
    "Leave `tolerance` out, which means 10 %.",
)
TOLERANCE_WIDE = warning(
    "hpa.tolerance_wide",
    "The metric must be far from its target before anything happens, so the fleet reacts late.",
    "Leave `tolerance` out, which means 10 %, and choose the target instead.",
)
FIXED = warning(
    "hpa.fixed",
    "The least and the largest number of replicas are the same, so the autoscaler changes nothing.",
    "Raise the largest number of replicas, or remove the autoscaler.",
)
SEVERAL = error(
    "autoscaler.several",
    "Several autoscalers of one kind scale the same workload, and each undoes the decisions of the other.",
    "Keep one, with all metrics in it.",
)
KEDA_WITH_HPA = error(
    "autoscaler.keda_with_hpa",
    "KEDA makes an HPA of its own, and both scale the same workload and undo each other's decisions.",
    "Delete the HPA, or the ScaledObject.",
)
REPLICAS_FIELD = error(
    "autoscaler.replicas_field",
    "Each time the manifest is applied, the workload is set back to this number of replicas, in the middle of a peak, "
    "too.",
    "Leave `spec.replicas` out of the manifest.",
)
NO_TARGET = error(
    "autoscaler.no_target",
    "The workload that it scales does not exist, and nothing scales.",
    "Correct `scaleTargetRef`.",
)

ALL = (
    RATIO_DIVIDED,
    TOTAL_UNDIVIDED,
    EXTERNAL_SUM,
    CPU,
    GPU_UTILIZATION,
    UNREACHABLE,
    TARGET_DEFAULT,
    TARGET_NOISE,
    RATIO_ONLY,
    UNRECORDED,
    ZERO_BLIND,
    NULL_AS_ZERO,
    KEDA_ACTIVATION,
    KEDA_POLLING,
    KEDA_CACHED,
    KEDA_COOLDOWN,
    HPA_INVALID,
    HPA_VERSION,
    NO_BEHAVIOR,
    SCALE_DOWN_AT_ONCE,
    SCALE_DOWN_WINDOW,
    SCALE_DOWN_DISABLED,
    SCALE_UP_WINDOW,
    TOLERANCE_NARROW,
    TOLERANCE_WIDE,
    FIXED,
    SEVERAL,
    KEDA_WITH_HPA,
    REPLICAS_FIELD,
    NO_TARGET,
)
