"""Users: each class has a task of its own, so that Locust's tags choose between classes."""

from locust import tag
from locust.user.task import filter_tasks_by_tags

from loadgen.load.adapters.users import TritonUser
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(name="x", load=Constant(per_s=1, duration_s=60))


def test_tags_choose_user_classes() -> None:
    """--tags keeps its meaning: only the users of the tagged class keep their task, and Locust refuses the others."""

    @tag("one")
    class OneUser(TritonUser):
        scenario = SCENARIO

    @tag("two")
    class TwoUser(TritonUser):
        scenario = SCENARIO

    for user_class in (OneUser, TwoUser):
        filter_tasks_by_tags(user_class, tags={"two"})
    assert OneUser.tasks == []
    assert [task.__qualname__ for task in TwoUser.tasks] == [f"{TwoUser.__qualname__}.infer"]
