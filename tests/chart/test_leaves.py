"""Every value of the chart changes the rendered manifests, and has a case here."""

import functools
import json

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import rejection, template
from support.charts.leaves import CHANGES, EMULATED, Values, changed, leaves
from support.yaml_files import read_yaml

# it renders nothing: it takes a tag that would be refused, which is what its test looks at
REFUSES_ONLY = "image.checkTag"


@functools.cache
def rendered(values: str) -> str:
    return template(json.loads(values))


def manifests(values: Values) -> str:
    return rendered(json.dumps(values, sort_keys=True))


def test_every_value_has_a_case() -> None:
    """The cases are exactly the values of values.yaml."""
    names = set(leaves(read_yaml(chart_folder() / "values.yaml")))
    assert names == {*CHANGES, REFUSES_ONLY}


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_changes_what_is_rendered(name: str) -> None:
    """With all other values the same, another value gives other manifests."""
    before, after = changed(name)
    assert manifests(after) != manifests(before)


def test_the_check_of_tags_can_be_switched_off() -> None:
    """The same tag is rejected with the check and accepted without."""
    image = {"tag": "mine"}
    assert "does not begin with a release" in rejection({**EMULATED, "image": image})
    assert "nvidia/tritonserver:mine" in template({**EMULATED, "image": {**image, "checkTag": False}})
