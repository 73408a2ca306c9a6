"""Reads the custom metrics API of a cluster: the values that its autoscaler receives."""

import http.client
import json
import logging
from typing import Any

from pydantic import BaseModel, ValidationError

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.base.quantity import parse_quantity
from loadgen.base.text import printable
from loadgen.base.urls import redacted
from loadgen.collect.raw import fetch
from loadgen.collect.rows import Sample
from loadgen.dataset.names import SignalName

FIELD = SignalName.AUTOSCALER_RATIO
TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class _Object(BaseModel):
    name: str


class _Item(BaseModel):
    describedObject: _Object
    value: str


class _Values(BaseModel):
    items: list[Any]


def read(url: str, clock: Clock) -> list[Sample]:
    """Read the current value of each pod; an item that cannot be read does not cost the others.

    Raises:
        CollectError: the API does not answer, or its answer has no values that can be read.
    """
    t_s = clock.now_s()
    try:
        values = _Values.model_validate_json(fetch(url, TIMEOUT_S, lines=False))
    except (OSError, http.client.HTTPException) as error:
        raise CollectError(redacted(f"the custom metrics API does not answer: {error}")) from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise CollectError(f"the custom metrics API has no values: {str(error).splitlines()[0]}") from error
    samples, errors = [], []
    for each in values.items:
        try:
            item = _Item.model_validate(each)
            samples.append(Sample(t_s, FIELD, printable(item.describedObject.name), number(item.value)))
        except ValidationError as error:
            errors.append(CollectError(f"the custom metrics API has no values: {str(error).splitlines()[0]}"))
        except CollectError as error:
            errors.append(error)
    if errors and not samples:
        raise errors[0]
    if errors:
        _log.warning("skipped %d of %d items: %s", len(errors), len(values.items), errors[0])
    return samples


def number(quantity: str) -> float:
    """Convert a Kubernetes quantity to a number, such as `1500m` to 1.5.

    Raises:
        CollectError: the text is not a quantity.
    """
    try:
        return float(parse_quantity(quantity))
    except ValueError as error:
        raise CollectError(f"the custom metrics API returned a value that cannot be read: {error}") from None
