"""Names the value of the bundled chart behind each pitfall that its values can cause."""

from loadgen.lint.codes import scaling, serving, signal

CHART_VALUES = {
    signal.WINDOW_LONG.code: "rules.window",
    signal.RULE_INTERVAL.code: "rules.interval",
    signal.MONITOR_SLOW.code: "metrics.scrapeInterval",
    scaling.CPU.code: "autoscaling.keda.triggers",
    scaling.UNREACHABLE.code: "autoscaling.metrics.busy.target",
    scaling.TARGET_DEFAULT.code: "autoscaling.metrics.ratio.target",
    scaling.TARGET_NOISE.code: "autoscaling.metrics.ratio.target",
    scaling.RATIO_ONLY.code: "autoscaling.metrics.busy.enabled",
    scaling.RATIO_DIVIDED.code: "autoscaling.keda.triggers",
    scaling.TOTAL_UNDIVIDED.code: "autoscaling.keda.triggers",
    scaling.NULL_AS_ZERO.code: "autoscaling.keda.triggers",
    scaling.NO_BEHAVIOR.code: "autoscaling.behavior",
    scaling.SCALE_DOWN_AT_ONCE.code: "autoscaling.behavior.scaleDown.policies",
    scaling.SCALE_DOWN_WINDOW.code: "autoscaling.behavior.scaleDown.stabilizationWindowSeconds",
    scaling.SCALE_DOWN_DISABLED.code: "autoscaling.behavior.scaleDown.selectPolicy",
    scaling.SCALE_UP_WINDOW.code: "autoscaling.behavior.scaleUp.stabilizationWindowSeconds",
    scaling.TOLERANCE_NARROW.code: "autoscaling.behavior",
    scaling.TOLERANCE_WIDE.code: "autoscaling.behavior",
    scaling.FIXED.code: "autoscaling.maxReplicas",
    serving.STARTUP_SHORT.code: "server.loadBudgetSeconds",
    serving.LIVENESS_HASTY.code: "server.probes.liveness",
    serving.GRACE_SHORT.code: "server.terminationGracePeriodSeconds",
    serving.GRACE_DEFAULT.code: "server.longestGenerationSeconds",
    serving.NO_PRESTOP.code: "server.preStopSeconds",
    serving.NO_GPU.code: "gpu",
    serving.SHARED_MEMORY.code: "server.sharedMemory",
    serving.UNAVAILABLE.code: "strategy",
    serving.NO_BUDGET.code: "podDisruptionBudget.enabled",
    serving.BLOCKED.code: "podDisruptionBudget",
    serving.GRPC_PER_CONNECTION.code: "ingress.kind",
}
"""Paths of values by code."""
