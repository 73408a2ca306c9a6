"""Converts replica-seconds to GPU-hours and money."""

from dataclasses import dataclass

from pydantic import ValidationError

from loadgen.analyze.results.cost import Charge, GpuSource
from loadgen.base.errors import SettingsError
from loadgen.dataset.run_info import RunInfo
from loadgen.scenario.settings import Pricing

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a replica costs.

    Attributes:
        gpus_per_replica: Its GPUs; None if unknown.
        gpu_source: Where that is from.
        per_gpu_hour: Price of a GPU-hour; None without one.
        currency: Its currency.
    """

    gpus_per_replica: int | None = None
    gpu_source: GpuSource | None = None
    per_gpu_hour: float | None = None
    currency: str | None = None

    def charge(self, replica_seconds: float) -> Charge:
        """The cost of replica-seconds."""
        hours = replica_seconds / _HOUR_S
        gpu_hours = None if self.gpus_per_replica is None else hours * self.gpus_per_replica
        amount = None if gpu_hours is None or self.per_gpu_hour is None else gpu_hours * self.per_gpu_hour
        return Charge(replica_hours=hours, gpu_hours=gpu_hours, amount=amount)

    def text(self, charge: Charge) -> str:
        """A cost in the last unit that is known: money, GPU-hours or replica-hours."""
        if charge.amount is not None:
            return f"{_number(charge.amount)} {self.currency}"
        if charge.gpu_hours is not None:
            return f"{_number(charge.gpu_hours)} GPU-hours"
        return f"{_number(charge.replica_hours)} replica-hours"


def _number(value: float) -> str:
    """Three significant digits, or two decimals of a large number."""
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3g}"


def prices(info: RunInfo, given: Pricing | None = None) -> Prices:
    """The prices of a run: given ones, then what the workload of the cluster says, then the settings of the run.

    Args:
        info: The content of `run.json`.
        given: Prices that replace those of the settings, where they have a value.
    """
    setting, given = _setting(info), given or Pricing()
    per_gpu_hour = setting.per_gpu_hour if given.per_gpu_hour is None else given.per_gpu_hour
    of_workload = None if info.cluster is None else info.cluster.gpus_per_replica
    sources: tuple[tuple[int | None, GpuSource], ...] = (
        (given.gpus_per_replica, "flag"),
        (of_workload, "workload"),
        (setting.gpus_per_replica, "setting"),
    )
    gpus, source = next(((gpus, source) for gpus, source in sources if gpus is not None), (None, None))
    currency = given.currency if "currency" in given.model_fields_set else setting.currency
    return Prices(
        gpus_per_replica=gpus,
        gpu_source=source,
        per_gpu_hour=per_gpu_hour,
        currency=None if per_gpu_hour is None else currency,
    )


def _setting(info: RunInfo) -> Pricing:
    """The setting `pricing` of a run; without values in folders that do not have it, or have it damaged."""
    fields = info.settings.get("pricing")
    try:
        return Pricing(**fields) if isinstance(fields, dict) else Pricing()
    except (SettingsError, ValidationError, TypeError):
        return Pricing()
