"""Locust users that drive Triton."""

from collections.abc import Sequence
from typing import Any, ClassVar

import gevent
from locust import User, constant, task
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.load.sender import Sender
from loadgen.scenario.settings import Scenario


class TritonUser(User):
    """Names the scenario of a run; set `scenario` in a subclass.

    The scenario's arrivals determine the load, not Locust's users: each request is sent when it is due, and there are
    no users. To do more with each request, override `infer` and call `super().infer()`: then there are as many users
    as requests can be in flight, so that every arrival that is due finds a free one, and one process sends fewer
    requests per second. Further methods with `@task` would compete with the arrivals.
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
        if not isinstance(sender, Sender) or not sender.send_next():
            gevent.sleep(0.5)


def needs_users(user_classes: Sequence[type[User]]) -> bool:
    """Whether Locust's users have to send the requests, because a class does more than that.

    True with a class that overrides `infer`, has further tasks or callbacks, or is not a `TritonUser`.
    """
    own = ("infer", "on_start", "on_stop", "wait")
    return not all(
        issubclass(cls, TritonUser)
        and len(cls.tasks) == 1
        and all(getattr(cls, name) is getattr(TritonUser, name) for name in own)
        for cls in user_classes
    )


def apply_tags(environment: Environment) -> None:
    """Leave out the user classes to which --tags and --exclude-tags leave no task; Locust's users would fail in them.

    Raises:
        SettingsError: no user class that sends requests is left.
    """
    tags_by_class = {cls.__name__: _tags(cls) for cls in environment.user_classes if issubclass(cls, TritonUser)}
    environment._filter_tasks_by_tags()  # as a runner does when it starts, and only once
    environment.user_classes[:] = [cls for cls in environment.user_classes if cls.tasks]
    if tags_by_class and not any(issubclass(cls, TritonUser) for cls in environment.user_classes):
        known = ", ".join(f"{name} ({', '.join(sorted(tags)) or 'no tag'})" for name, tags in tags_by_class.items())
        raise SettingsError(
            f"--tags and --exclude-tags leave no task, so nothing would be sent: choose other tags; there are {known}"
        )


def _tags(cls: type[TritonUser]) -> set[str]:
    return {tag for each in cls.tasks for tag in getattr(each, "locust_tag_set", ())}


def _infer_task(cls: type[TritonUser]) -> Any:
    def infer(user: TritonUser) -> None:
        user.infer()

    infer.__qualname__ = f"{cls.__qualname__}.infer"
    if tags := getattr(cls.infer, "locust_tag_set", None):
        infer.locust_tag_set = set(tags)  # type: ignore[attr-defined]  # where Locust looks for tags
    return infer
