"""Locust users that drive Triton."""

from typing import Any, ClassVar

import gevent
from locust import User, constant, task

from loadgen.load.sender import Sender
from loadgen.scenario.settings import Scenario


class TritonUser(User):
    """Sends one request of the scenario at a time; set `scenario` in a subclass.

    The scenario's arrivals determine the load, not the users: there are as many users as requests can be in flight, so
    every arrival that is due finds a free one. Further methods with `@task` would compete with the arrivals; to do more
    with each request, override `infer` and call `super().infer()`.
    """

    abstract = True
    scenario: ClassVar[Scenario]
    wait_time = constant(0)
    host = "local"

    sender: ClassVar[Sender | None] = None
    """The sender that the users of this process share; set by the plugin when the run begins."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # each class gets its own task, so that @tag on one user class does not tag the others
        others = [known for known in cls.tasks if getattr(known, "__name__", "") != "infer"]
        cls.tasks = [*others, _infer_task(cls)]

    @task
    def infer(self) -> None:
        """Wait for the next arrival and send it; returns after its last token."""
        sender = TritonUser.sender
        if sender is None or not sender.send_next():
            gevent.sleep(0.5)


def _infer_task(cls: type[TritonUser]) -> Any:
    def infer(user: TritonUser) -> None:
        user.infer()

    infer.__qualname__ = f"{cls.__qualname__}.infer"
    if tags := getattr(cls.infer, "locust_tag_set", None):
        infer.locust_tag_set = set(tags)  # type: ignore[attr-defined]  # where Locust looks for tags
    return infer
