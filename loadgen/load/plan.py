"""The load of one run, fixed before it starts: who sends what, when."""

from dataclasses import dataclass

from loadgen.load.arrivals import due_times, most_in_any_window
from loadgen.load.prompts import Prompt, PromptSource
from loadgen.scenario.rates import Floats
from loadgen.scenario.settings import Scenario

SPARE_USERS = 2
"""Users beyond the most that can be in flight: one waits for the next arrival, one is on its way back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One scheduled request: its number in the run, when it is due (seconds from load start), what it says."""

    number: int
    due_s: float
    prompt: Prompt


class LoadPlan:
    """All arrivals of a scenario; every process makes the same plan from the same settings.

    A Locust user carries one request at a time. A request is over after `request_timeout_s`, so when there are as
    many users as any window of that length holds arrivals, a free user is there for every arrival, whatever the
    server does: that is what keeps the loop open.

    Raises:
        SettingsError: the prompt file is malformed.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.due_s: Floats = due_times(scenario.load, scenario.arrivals, scenario.seeds.arrivals)
        self._prompts = PromptSource(scenario.prompts, len(self.due_s), scenario.seeds.prompts)

    def __len__(self) -> int:
        return len(self.due_s)

    def arrival(self, number: int) -> Arrival:
        """Arrival by number, from 0."""
        return Arrival(number=number, due_s=float(self.due_s[number]), prompt=self._prompts[number])

    def share(self, worker: int, workers: int) -> range:
        """Numbers of the arrivals that process `worker` of `workers` sends: every `workers`-th."""
        return range(worker, len(self), workers)

    def users(self, workers: int) -> int:
        """Locust users needed in all, so that each of `workers` processes keeps its loop open."""
        window_s = self.scenario.request_timeout_s
        shares = (most_in_any_window(self.due_s[worker::workers], window_s) for worker in range(workers))
        return (max(shares) + SPARE_USERS) * workers
