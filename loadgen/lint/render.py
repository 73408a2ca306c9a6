"""Renders the bundled chart for values, as `loadgen deploy` would install it."""

from collections.abc import Mapping
from typing import Any

from loadgen.base.errors import SettingsError
from loadgen.base.yaml_text import parse_yaml_documents
from loadgen.kube.deploy.helm import render
from loadgen.lint.objects import CHART


def rendered(values: Mapping[str, Any], *, release: str, namespace: str) -> list[tuple[str, Any]]:
    """Return the objects that the chart makes of values, each with its source.

    Raises:
        SettingsError: the chart refuses the values.
        StackError: helm is missing.
    """
    text = render(release, namespace, values)
    try:
        return [(CHART, each) for each in parse_yaml_documents(text)]
    except ValueError as error:
        raise SettingsError(f"what the chart makes of the values {error}: correct them") from None
