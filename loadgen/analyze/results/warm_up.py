"""How long the run was cold: by the setting, and by a proposal from the latencies."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """The warm-up of a run.

    Attributes:
        setting_s: Requests due before this time are not judged.
        cold_requests: Number of requests due before it.
        proposal_s: When the latency was steady by MSER-5; 0 if it was from the start, None if it cannot be told.
        metric: Latency that was examined, `ttft` or `e2e`.
        mean_before_s: Its mean over the requests due before `proposal_s`; None where that is 0.
        mean_after_s: Its mean over the others of the first stage.
        why_missing: Why there is no proposal.
    """

    setting_s: float
    cold_requests: int
    proposal_s: float | None = None
    metric: str | None = None
    mean_before_s: float | None = None
    mean_after_s: float | None = None
    why_missing: str | None = None
