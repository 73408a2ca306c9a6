"""Every value of the chart changes the rendered manifests, and has a case here."""

import functools
import json

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import rejection, template
from support.charts.leaves import CHANGES, EMULATED, Values, changed, leaves
from support.charts.many import templates
from support.yaml_files import read_yaml

# it renders nothing: it takes a tag that would be refused, which is what its test looks at
REFUSES_ONLY = "image.checkTag"


# that many cases take one process of helm, whose start costs as much as the manifests of a case
AT_ONCE = 40


@functools.cache
def manifests(part: int) -> dict[str, str]:
    """The manifests of a part of the cases, by their values before and after the change."""
    names = list(CHANGES)[part * AT_ONCE : (part + 1) * AT_ONCE]
    texts = list(dict.fromkeys(text(values) for name in names for values in changed(name)))
    return dict(zip(texts, templates([json.loads(each) for each in texts]), strict=True))


def text(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


def test_every_value_has_a_case() -> None:
    """The cases are exactly the values of values.yaml."""
    names = set(leaves(read_yaml(chart_folder() / "values.yaml")))
    assert names == {*CHANGES, REFUSES_ONLY}


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_changes_what_is_rendered(name: str) -> None:
    """With all other values the same, another value gives other manifests."""
    before, after = (manifests(list(CHANGES).index(name) // AT_ONCE)[text(each)] for each in changed(name))
    assert after != before


def test_equal_values_have_equal_manifests() -> None:
    """A difference is that of the values, and not that of the place at which they were rendered."""
    one, again = templates([EMULATED, EMULATED])
    assert one == again
    assert "kind: Deployment" in one


def test_the_check_of_tags_can_be_switched_off() -> None:
    """The same tag is rejected with the check and accepted without."""
    image = {"tag": "mine"}
    assert "does not begin with a release" in rejection({**EMULATED, "image": image})
    assert "nvidia/tritonserver:mine" in template({**EMULATED, "image": {**image, "checkTag": False}})
