"""Pitfalls of the signal: queries, recording rules, the metrics adapter and the monitors of Prometheus."""

from loadgen.lint.pitfall import error, warning

WINDOW_EMPTY = error(
    "query.window_empty",
    "A rate needs two samples in its window, and this window holds one or none, so the query often has no result "
    "and the autoscaler does nothing.",
    "Use a window of at least four scrape intervals, for example `[30s]` with `interval: 5s` in the monitor.",
)
WINDOW_SHORT = warning(
    "query.window_short",
    "One or two missed scrapes leave fewer than two samples in the window, and the query has no result until the next "
    "ones.",
    "Use a window of at least four scrape intervals, for example `[30s]` with `interval: 5s` in the monitor.",
)
WINDOW_LONG = warning(
    "query.window_long",
    "The value needs a whole window to follow a step of the load, and more replicas are requested late and given back "
    "late.",
    "Scrape more often and shorten the window, for example `[30s]` with `interval: 5s` in the monitor.",
)
PER_MODEL = error(
    "query.per_model",
    "The result has one series for each model of a pod, and prometheus-adapter adds them up by default, so "
    "tokenizers and ensembles determine the number of replicas.",
    'Select the model that requests go to, for example `{model="tensorrt_llm_bls"}`, and aggregate with '
    "`sum by (namespace, pod) (…)` before the division.",
)
ALL_MODELS = warning(
    "query.all_models",
    "The sum covers all models of a pod: a request counts once for the ensemble and once for each of its steps.",
    'Select the model that requests go to, for example `{model="tensorrt_llm_bls"}`.',
)
MEAN_OF_RATIOS = error(
    "query.mean_of_ratios",
    "The mean of the ratios of several models weighs an idle one as much as a busy one, so the value is too low, "
    "with n models by up to a factor of n.",
    "Divide sums: `sum by (namespace, pod) (rate(A)) / clamp_min(sum by (namespace, pod) (rate(B)), 1)`.",
)
UNDEFINED_WHEN_IDLE = warning(
    "query.undefined_when_idle",
    "Without requests the value is 0/0 = NaN, which prometheus-adapter serves as 0 to Pods metrics, while in External "
    "metrics and in KEDA's means it spoils the value of the whole fleet.",
    "Give an idle replica a value: `A / clamp_min(B, 1)` for microseconds per second, or `(A / B) >= 0 or 0 * B`.",
)
ABSENT_WHEN_IDLE = warning(
    "query.absent_when_idle",
    "An idle replica has no series; the HPA assumes that it is at the target before it removes one, so the fleet "
    "shrinks late or never.",
    "Give an idle replica a value: append `or 0 * B`, or use `clamp_min(B, 1)` instead of a comparison.",
)
FLOOR = error(
    "query.floor",
    "The divisor is never below its floor, so the value is too small at low rates: with one request in five "
    "seconds and a floor of 1 per second, a fifth of the truth.",
    "Use a floor far below any real rate, such as `clamp_min(B, 0.001)`, and add no constant to the divisor.",
)
COUNTER_WITHOUT_RATE = error(
    "query.counter_without_rate",
    "A counter only grows: without `rate()` the value is a mean since the server started, and hardly follows the load.",
    "Write `rate(COUNTER{…}[30s])`.",
)
RATE_OF_GAUGE = error(
    "query.rate_of_gauge",
    "The function `rate()` treats each decrease of a gauge as a restart of a counter, so the value has no meaning.",
    "Use the gauge itself, or `avg_over_time(GAUGE{…}[30s])`.",
)
ENGINE_QUEUE = warning(
    "query.engine_queue",
    "Triton's queue of this model does not contain the wait inside the engine, so the ratio stays near 0 or is "
    "noise while requests wait.",
    "Use the queue of a model that blocks for the whole generation, such as `tensorrt_llm_bls` with as many instances "
    'as the engine\'s batch, or a gauge such as `nv_trt_llm_request_metrics{request_type="waiting"}`.',
)
RULE_LABELS = error(
    "rule.labels",
    "A Pods metric needs the labels namespace and pod on each series; without them the HPA gets no metric and stands "
    "still.",
    "Keep the labels in every aggregation: `sum by (namespace, pod) (…)`.",
)
RULE_INTERVAL = warning(
    "rule.interval",
    "The HPA syncs every 15 s, and reads the same value several times before the rule is evaluated again.",
    "Set `interval: 5s` in the rule group.",
)
ADAPTER_SUMS = error(
    "adapter.sums_series",
    "The adapter adds up the series of a pod, and this ratio has one for each model, so the HPA reads a sum of ratios.",
    "Record one series for each pod, or set `metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`.",
)
ADAPTER_RESOURCES = error(
    "adapter.resources",
    "The adapter cannot tell which pod a series belongs to, and does not serve the metric to the HPA.",
    "Set `resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}`.",
)
ADAPTER_NAMESPACE = error(
    "adapter.namespace",
    "The adapter finds series of one namespace only, and the HPA of another one gets no metric.",
    'Write `namespace!=""` in the seriesQuery.',
)
ADAPTER_UNSERVED = warning(
    "adapter.unserved",
    "None of these rules of the adapter serves the metric, so the HPA gets none unless a rule elsewhere does.",
    "Add a rule whose seriesQuery selects the series.",
)
MONITOR_SELECTS_NOTHING = error(
    "monitor.selects_nothing",
    "Prometheus scrapes nothing with this monitor, and the autoscaler gets no metric.",
    "Set `spec.selector.matchLabels` to labels of the pods (PodMonitor) or of the Service (ServiceMonitor).",
)
MONITOR_PORT = error(
    "monitor.port",
    "No container or Service port has this name, so Prometheus scrapes nothing, and the autoscaler gets no metric.",
    "Name the port of the metrics, `{name: metrics, containerPort: 8002}`, and set `port: metrics` in the monitor.",
)
MONITOR_INTERVAL = warning(
    "monitor.interval",
    "Prometheus' own interval applies, 30 s to 60 s by default: the signal is late by up to that time, and a window of "
    "a minute holds two samples or one.",
    "Set `interval: 5s` in the endpoint.",
)
MONITOR_SLOW = warning(
    "monitor.slow",
    "The HPA syncs every 15 s, and reads the same samples several times before there are new ones.",
    "Set `interval: 5s` in the endpoint, and a window of at least four intervals in the rules.",
)
SCRAPE_SLOW = warning(
    "scrape.slow",
    "The HPA syncs every 15 s, and reads the same samples several times before there are new ones.",
    "Set `scrape_interval: 5s` in the job, and a window of at least four intervals in the rules.",
)
SCRAPE_TIMEOUT = error(
    "scrape.timeout",
    "Prometheus refuses a configuration whose time-out exceeds the interval: it does not start, or keeps the former.",
    "Set `scrape_timeout` to at most `scrape_interval`.",
)
EVALUATION_SLOW = warning(
    "scrape.evaluation",
    "It applies to rule groups without an interval of their own, and the HPA reads the same value several times.",
    "Set `evaluation_interval: 5s`, or `interval: 5s` in the rule group.",
)
MONITOR_TIMEOUT = error(
    "monitor.timeout",
    "The operator rejects an endpoint whose timeout exceeds its interval, and Prometheus scrapes nothing.",
    "Set `scrapeTimeout` to at most `interval`.",
)

ALL = (
    WINDOW_EMPTY,
    WINDOW_SHORT,
    WINDOW_LONG,
    PER_MODEL,
    ALL_MODELS,
    MEAN_OF_RATIOS,
    UNDEFINED_WHEN_IDLE,
    ABSENT_WHEN_IDLE,
    FLOOR,
    COUNTER_WITHOUT_RATE,
    RATE_OF_GAUGE,
    ENGINE_QUEUE,
    RULE_LABELS,
    RULE_INTERVAL,
    ADAPTER_SUMS,
    ADAPTER_RESOURCES,
    ADAPTER_NAMESPACE,
    ADAPTER_UNSERVED,
    MONITOR_SELECTS_NOTHING,
    MONITOR_PORT,
    MONITOR_INTERVAL,
    MONITOR_SLOW,
    MONITOR_TIMEOUT,
    SCRAPE_SLOW,
    SCRAPE_TIMEOUT,
    EVALUATION_SLOW,
)
