"""Defines `Scenario` and the other settings of a test; they are frozen and reject unknown fields."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from loadgen.base.checked import Settings
from loadgen.base.proposals import meant
from loadgen.scenario.fleets import Kube, Local, parsed_url
from loadgen.scenario.inputs import Inputs
from loadgen.scenario.prompts import Prompts, Ratio
from loadgen.scenario.rates import Rate

API_PATH = "/v2"
"""Path of Triton's API, below the path of a target."""
OPENAI_CALL_PATH = "/completions"
"""End of the path of OpenAI's calls, which requests add to the path of a target."""


class Slo(Settings):
    """Limits on named statistics; None means no limit. Times in seconds from the scheduled time, ratios 0..1.

    A request whose outcome is not `ok` counts as slower than every limit on TPOT and E2E, and on TTFT if it received
    no first token. A request attains the SLO when its outcome is `ok` and it is within the limit of the highest limited
    percentile of each metric. A window is in violation when the share of its requests that attain is below that
    percentile (below the lowest, where metrics have different ones; below 1 − `failed_ratio` without a percentile).

    Attributes:
        failed_ratio: Limit on the share of requests whose outcome is not `ok`.
        attainment_ratio: Least share of the requests of the run that attain the SLO.
        in_violation_s: Limit on the total length of the windows in violation.
        scale_up_lag_s: Limit on the lag of scale-ups: from the need of the load for replicas until they serve. The run
            is invalid if the lag is not known, or if the load needs no scale-up.
        window_s: Length of these windows, by due time; one with fewer than 20 requests is joined with the next.
    """

    ttft_p50_s: PositiveFloat | None = None
    ttft_p90_s: PositiveFloat | None = None
    ttft_p95_s: PositiveFloat | None = None
    ttft_p99_s: PositiveFloat | None = None
    itl_p50_s: PositiveFloat | None = None
    itl_p95_s: PositiveFloat | None = None
    itl_p99_s: PositiveFloat | None = None
    tpot_p95_s: PositiveFloat | None = None
    e2e_p50_s: PositiveFloat | None = None
    e2e_p95_s: PositiveFloat | None = None
    e2e_p99_s: PositiveFloat | None = None
    failed_ratio: Ratio | None = 0.01
    attainment_ratio: Ratio | None = None
    in_violation_s: NonNegativeFloat | None = None
    scale_up_lag_s: NonNegativeFloat | None = None
    window_s: Annotated[float, Field(ge=1.0)] = 30.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        of_requests = [name for name in ("attainment_ratio", "in_violation_s") if getattr(self, name) is not None]
        if of_requests and all(getattr(self, name) is None for name in (*PERCENTILES, "failed_ratio")):
            raise ValueError(
                f"{of_requests[0]} needs a limit that a single request can meet: set one on a percentile, such as "
                f"ttft_p95_s, or failed_ratio"
            )
        return self

    def limits(self) -> dict[tuple[str, str], float]:
        """Return the limits by metric and statistic, such as `("ttft", "p95")`."""
        names = {name: tuple(name.split("_")[:2]) for name in (*PERCENTILES, "failed_ratio", "attainment_ratio")}
        names["in_violation_s"] = ("in_violation", "total")
        names["scale_up_lag_s"] = ("scale_up_lag", "worst")
        return {(key[0], key[1]): limit for name, key in names.items() if (limit := getattr(self, name)) is not None}


PERCENTILES = tuple(name for name in Slo.model_fields if re.fullmatch(r"[a-z0-9]+_p\d+_s", name))
"""Limits on percentiles of latencies."""

FLEETS = ("local", "sandbox", "kube")
"""Targets whose replicas are observed: two that use the settings `local`, and a cluster that uses `kube`."""

TOKEN_LIMITS = frozenset(name for name in Slo.model_fields if name.startswith(("ttft", "itl", "tpot")))
"""Limits that need token times, which only streamed answers have."""


class Validity(Settings):
    """Beyond these limits the verdict is `invalid`: the results would describe the load generator, not the server.

    Attributes:
        send_lag_p99_s: 99th percentile of sent − scheduled.
        scrape_gap_s: Longest time without a sample of the signal while a replica was ready; None means 5 s, or three
            scrape intervals if that is longer.
        min_samples: Minimum number of answered requests.
    """

    send_lag_p99_s: PositiveFloat = 0.05
    scrape_gap_s: PositiveFloat | None = None
    min_samples: PositiveInt = 100


class Pricing(Settings):
    """What a replica costs, for the cost in reports; `loadgen report` replaces it by its flags.

    Attributes:
        per_gpu_hour: Price of one GPU for an hour; None: reports have GPU-hours, or replica-hours, only.
        currency: Currency of the price, three letters (ISO 4217).
        gpus_per_replica: GPUs of one replica, where the workload does not request them from Kubernetes.
    """

    per_gpu_hour: PositiveFloat | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    gpus_per_replica: Annotated[int, Field(gt=0, le=1_000_000)] | None = None


WireProtocol = Literal["grpc", "http", "openai"]

OpenAiCall = Literal["chat", "completions"]


class Seeds(Settings):
    """Separate seeds, so that arrivals stay the same when prompts change.

    Attributes:
        arrivals: Seed of the arrival times.
        prompts: Seed of the prompts and their lengths.
    """

    arrivals: NonNegativeInt = 1
    prompts: NonNegativeInt = 2


ReportFormat = Literal["json", "html", "markdown", "junit", "figures"]


class Scenario(Settings):
    """A named test: load, prompts, limits and target.

    Attributes:
        name: Short name, used for the run folder and in reports.
        load: Requests per second over time.
        arrivals: `poisson` (seeded, non-homogeneous) or `even` spacing along the same rate.
        target: `local`, `sandbox` (a real Kubernetes control plane on this machine), `kube` (a cluster), or the base
            URL of an existing Triton (`http://host:8000` or `grpc://host:8001`), with a path if a gateway needs one;
            with the protocol `openai`, that of a server with OpenAI's API (`http://host:8000/v1`).
        protocol: `grpc` or `http` (Triton), or `openai` (any server with OpenAI's API); None means that of the
            target's scheme, and `grpc` for `local`.
        openai_call: With the protocol `openai`, the call of requests: `chat` (`/v1/chat/completions`) or
            `completions` (`/v1/completions`).
        prompts: Source of the prompts.
        slo: Limits that decide between pass and fail.
        validity: Limits beyond which a run cannot be judged.
        stream: Stream tokens (ModelStreamInfer, generate_stream) or wait for the whole answer.
        model: Model to test; None means the one with the tensors of TensorRT-LLM, or the only one with the protocol
            `openai`.
        inputs: Further inputs of the model, the same in every request: values by name, such as
            `{"min_tokens": 8, "temperature": 0.7, "stop_words": ["END"]}`. A value is a number, True, False, text, or
            a list of them; its data type and shape are those that the model declares. With the protocol `openai`, they
            are fields of the JSON body, and a value can be a dictionary, too.
        request_timeout_s: Time limit for the last token of a request; beyond it, the outcome is `timeout`.
        warm_up_s: Requests due before this time are sent and counted and not judged: a cold server answers slower.
        settle_s: How long to continue observing after the last answer, to include the scale-down.
        metrics_url: Metrics address of the server behind a URL target (`http://host:8002`), for its raw counters.
        prometheus_url: Prometheus that scrapes the servers behind a URL target (`http://host:9090`).
        pricing: What a replica costs, for the cost in reports.
        seeds: Seeds of arrivals and prompts.
        local: The embedded stack, for the targets `local` and `sandbox`.
        kube: The workload on a cluster, for the target `kube`.
        reports: Reports to write after the run; the PNG figures take over a second.
    """

    name: str
    load: Rate
    arrivals: Literal["poisson", "even"] = "poisson"
    prompts: Prompts = Prompts()
    slo: Slo = Slo()
    validity: Validity = Validity()
    target: str = "local"
    protocol: WireProtocol | None = None
    openai_call: OpenAiCall = "chat"
    stream: bool = True
    model: str | None = None
    inputs: Inputs = Field(default_factory=dict)
    request_timeout_s: PositiveFloat = 30.0
    warm_up_s: NonNegativeFloat = 0.0
    settle_s: NonNegativeFloat = 0.0
    metrics_url: str | None = None
    prometheus_url: str | None = None
    pricing: Pricing = Pricing()
    seeds: Seeds = Seeds()
    local: Local = Local()
    kube: Kube = Kube()
    reports: tuple[ReportFormat, ...] = get_args(ReportFormat)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,63}", self.name):
            raise ValueError(f"name {self.name!r} must be 1 to 64 letters, digits, '-', '_', '.' or spaces")
        self._check_urls()
        if self.load.expected(self.load.length_s) < 1:
            raise ValueError("load sends less than one request in total: increase the rate or the duration")
        if self.warm_up_s >= self.load.length_s:
            raise ValueError(
                f"warm_up_s {self.warm_up_s:g} covers the whole load of {self.load.length_s:g} s, so no request would "
                f"be judged: shorten it, or make the load longer"
            )
        if not self.stream and any(limit is not None for name, limit in self.slo if name in TOKEN_LIMITS):
            raise ValueError("limits on TTFT, ITL and TPOT need stream=True: without it there are no token times")
        if self.slo.scale_up_lag_s is not None and self.target not in FLEETS:
            raise ValueError(
                f"the limit scale_up_lag_s needs a target whose replicas are observed: omit it, or set the target to "
                f"{', '.join(FLEETS[:-1])} or {FLEETS[-1]}"
            )
        return self

    def _check_urls(self) -> None:
        if self.protocol == "openai":
            self._check_openai()
        elif self.target not in FLEETS:
            example = f"http://127.0.0.1:8000, or 'local', 'sandbox' or 'kube'{meant(self.target, FLEETS)}"
            schemes = ("http", "https", "grpc", "grpcs")
            scheme = parsed_url("target", self.target, schemes, example, path=True, api=API_PATH).scheme.rstrip("s")
            if self.protocol and scheme != self.protocol:
                raise ValueError(
                    f"protocol {self.protocol} contradicts target {self.target}: omit one, or write the target as "
                    f"{self.protocol}://host:port"
                )
        self._check_metrics_urls()

    def _check_openai(self) -> None:
        example = "http://127.0.0.1:8000/v1"
        if self.target in FLEETS:
            if "target" not in self.model_fields_set:
                return  # a flag can still set it
            raise ValueError(
                f"protocol openai needs the URL of a server as target, such as {example}: the target {self.target} "
                f"speaks Triton's protocols, grpc and http"
            )
        parsed_url("target", self.target, ("http", "https"), example, path=True, api=OPENAI_CALL_PATH)

    def _check_metrics_urls(self) -> None:
        if self.metrics_url is not None:
            parsed_url("metrics_url", self.metrics_url, ("http", "https"), "http://127.0.0.1:8002", path=True)
        if self.prometheus_url is not None:
            parsed_url("prometheus_url", self.prometheus_url, ("http", "https"), "http://127.0.0.1:9090", path=True)

    @property
    def wire(self) -> WireProtocol:
        """The wire protocol: `protocol` if set, else that of the target's scheme."""
        if self.protocol:
            return self.protocol
        address = self.kube.endpoint if self.target == "kube" else self.target
        return "http" if address.lower().startswith("http") else "grpc"

    def replace(self, **changes: Any) -> "Scenario":
        """Return a copy with other values, validated again as a whole.

        Raises:
            SettingsError: the values contradict one another.
        """
        return Scenario(**{**dict(self), **changes})
