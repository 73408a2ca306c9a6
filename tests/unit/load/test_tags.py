"""--tags and --exclude-tags choose among the user classes."""

from argparse import Namespace

import pytest
from locust import User, tag, task
from locust.env import Environment

from loadgen.base.errors import SettingsError
from loadgen.load.adapters.users import TritonUser, apply_tags


def environment_with(*, tags: list[str] | None = None, exclude_tags: list[str] | None = None) -> Environment:
    @tag("nightly")
    class Nightly(TritonUser):
        pass

    class Plain(TritonUser):
        pass

    class Other(User):
        @task
        def other(self) -> None:
            pass

    options = Namespace(tags=tags, exclude_tags=exclude_tags)
    return Environment(user_classes=[Nightly, Plain, Other], parsed_options=options)


def test_classes_without_a_task_are_left_out() -> None:
    """Locust would spawn users of them, which fail."""
    environment = environment_with(exclude_tags=["nightly"])
    apply_tags(environment)
    assert [cls.__name__ for cls in environment.user_classes] == ["Plain", "Other"]
    environment = environment_with(tags=["nightly"])
    apply_tags(environment)
    assert [cls.__name__ for cls in environment.user_classes] == ["Nightly"]


def test_without_tags_every_class_is_kept() -> None:
    """Nothing changes."""
    environment = environment_with()
    apply_tags(environment)
    assert len(environment.user_classes) == 3


def test_tags_that_leave_no_requests_are_refused() -> None:
    """The message has the tags that there are; a run would never end."""
    with pytest.raises(SettingsError, match=r"leave no task.* Nightly \(nightly\), Plain \(no tag\)"):
        apply_tags(environment_with(tags=["nighty"]))
