"""Locust users that drive Triton."""

from typing import Any, ClassVar

import gevent
from locust import User, constant, task

from loadgen.load.sender import Sender
from loadgen.scenario.settings import Scenario


class TritonUser(User):
    """Carries one request of the scenario at a time; give a subclass its `scenario`.

    There are as many users as requests can be in flight, so an arrival that is due always finds a free one: users do
    not make the load, they carry it. Methods of your own with `@task` would compete with the arrivals; to do more
    with each request, override `infer` and call `super().infer()`.
    """

    abstract = True
    scenario: ClassVar[Scenario]
    wait_time = constant(0)
    host = "local"

    sender: ClassVar[Sender | None] = None
    """What the users of this process carry; set by the plugin when the run begins."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # a task of the class's own, so that @tag on one user class does not tag the others
        others = [known for known in cls.tasks if getattr(known, "__name__", "") != "infer"]
        cls.tasks = [*others, _carrying(cls)]

    @task
    def infer(self) -> None:
        """Carry the next arrival from its due time to its last token."""
        sender = TritonUser.sender
        if sender is None or not sender.carry():
            gevent.sleep(0.5)


def _carrying(cls: type[TritonUser]) -> Any:
    def infer(user: TritonUser) -> None:
        user.infer()

    infer.__qualname__ = f"{cls.__qualname__}.infer"
    if tags := getattr(cls.infer, "locust_tag_set", None):
        infer.locust_tag_set = set(tags)  # type: ignore[attr-defined]  # where Locust looks for tags
    return infer
