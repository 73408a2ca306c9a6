"""Reads `metadata` and `status` of an HPA manifest: the API server refuses an object for them too."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from loadgen.autoscale.api_types import (
    AList,
    Int32,
    Text,
    TextMap,
    is_dns_subdomain,
    is_label_value,
    is_qualified_name,
)


class Metadata(BaseModel):
    """The fields of every object's metadata; those that only the server writes are not checked."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    name: Text = ""
    generate_name: Text = ""
    namespace: Text = ""
    labels: TextMap = {}
    annotations: TextMap = {}
    finalizers: Annotated[tuple[Text, ...], AList] = ()
    owner_references: Any = None
    managed_fields: Any = None
    self_link: Any = None
    uid: Any = None
    resource_version: Any = None
    generation: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None

    @model_validator(mode="after")
    def _valid(self) -> "Metadata":
        # A generated name gets a suffix, so it may end with "-".
        names = (self.name,) if self.name else (f"{self.generate_name}x",) if self.generate_name else ()
        if not names:
            raise ValueError("it has neither name nor generateName: set a name")
        if not is_dns_subdomain(names[0]):
            raise ValueError(f"{names[0]!r:.60} is not a name: use small letters, digits, '-' and '.'")
        for key in (*self.labels, *(key.lower() for key in self.annotations), *self.finalizers):
            if not is_qualified_name(key):
                raise ValueError(f"{key!r:.60} is not a key: write one such as team or example.com/team")
        for value in self.labels.values():
            if not is_label_value(value):
                raise ValueError(f"{value!r:.60} is not a label's value: use at most 63 letters, digits, '-', '_', '.'")
        for finalizer in self.finalizers:
            if "/" not in finalizer and finalizer not in ("orphan", "foregroundDeletion", "kubernetes"):
                raise ValueError(f"{finalizer!r:.60} is not a finalizer: write one such as example.com/finalizer")
        return self


class Status(BaseModel):
    """The fields of the status, of which a sync starts afresh; metrics and conditions are not checked."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    observed_generation: Any = None
    last_scale_time: Any = None
    current_replicas: Int32 | None = None
    desired_replicas: Int32 | None = None
    current_metrics: Any = None
    conditions: Any = None
