"""What a cluster's autoscaler itself reads: the custom-metrics API, which can only be asked."""

import http.client
import json

from pydantic import BaseModel, ValidationError

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.base.quantity import parse_quantity
from loadgen.base.urls import redacted
from loadgen.collect.raw import fetch
from loadgen.collect.rows import Sample
from loadgen.dataset.names import SignalName

FIELD = SignalName.AUTOSCALER_RATIO
TIMEOUT_S = 2.0


class _Object(BaseModel):
    name: str


class _Item(BaseModel):
    describedObject: _Object
    value: str


class _Values(BaseModel):
    items: list[_Item]


def read(url: str, clock: Clock) -> list[Sample]:
    """The value of each pod, as the API gives it at this moment.

    Raises:
        CollectError: it does not answer, or not with values.
    """
    t_s = clock.now_s()
    try:
        values = _Values.model_validate_json(fetch(url, TIMEOUT_S, lines=False))
    except (OSError, http.client.HTTPException) as error:
        raise CollectError(redacted(f"the custom-metrics API does not answer: {error}")) from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise CollectError(f"the custom-metrics API has no values: {str(error).splitlines()[0]}") from error
    return [Sample(t_s, FIELD, each.describedObject.name, number(each.value)) for each in values.items]


def number(quantity: str) -> float:
    """A quantity of Kubernetes as a number, such as `1500m` → 1.5.

    Raises:
        CollectError: it is none.
    """
    try:
        return float(parse_quantity(quantity))
    except ValueError as error:
        raise CollectError(f"the custom-metrics API has a value that cannot be read: {error}") from None
