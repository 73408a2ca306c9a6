"""Plans the load of one run before it starts: what is sent when, and by which process."""

import copy
from dataclasses import dataclass

from loadgen.load.arrivals import due_times, max_in_any_window
from loadgen.load.prompts import Prompt, PromptSource
from loadgen.scenario.rates import Floats
from loadgen.scenario.settings import Scenario

SPARE_USERS = 2
"""Users beyond the maximum in flight: one waits for the next arrival, one has just finished its request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One scheduled request: its number in the run, its due time (seconds from load start) and its prompt."""

    number: int
    due_s: float
    prompt: Prompt


class LoadPlan:
    """All arrivals of a scenario; every process computes the same plan from the same settings.

    A Locust user sends one request at a time. A request ends after `request_timeout_s` at the latest, so with as many
    users as there are arrivals in any window of that length, every arrival finds a free user, independent of earlier
    responses (open loop).

    Raises:
        SettingsError: the prompt file is malformed.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.due_s: Floats = due_times(scenario.load, scenario.arrivals, scenario.seeds.arrivals)
        self.prompts = PromptSource(scenario.prompts, len(self.due_s), scenario.seeds.prompts)

    def __len__(self) -> int:
        return len(self.due_s)

    def of_run(self, run_id: str) -> "LoadPlan":
        """Return the plan of a run: the same arrivals, with prompts that are unique to it (`Prompts.unique_per`)."""
        plan = copy.copy(self)
        plan.prompts = self.prompts.of_run(run_id)
        return plan

    def arrival(self, number: int) -> Arrival:
        """Return an arrival by its number, from 0."""
        return Arrival(number=number, due_s=float(self.due_s[number]), prompt=self.prompts[number])

    def share(self, worker: int, workers: int) -> range:
        """Return the numbers of the arrivals that process `worker` of `workers` sends: every `workers`-th."""
        return range(worker, len(self), workers)

    def users(self, workers: int) -> int:
        """Return the number of Locust users that `workers` processes need in total for an open loop."""
        window_s = self.scenario.request_timeout_s
        shares = (max_in_any_window(self.due_s[worker::workers], window_s) for worker in range(workers))
        return (max(shares) + SPARE_USERS) * workers
