"""Names that the tables of a run folder hold."""

from typing import Literal

NOT_BY_AUTOSCALER = "NotByAutoscaler"
"""Reason of a `hpa_rescale` that is known to be none of the autoscaler's: somebody or something else scaled."""

Outcome = Literal["ok", "rejected", "timeout", "error", "cut_off", "not_sent"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "rejected", "timeout", "error", "cut_off", "not_sent")
