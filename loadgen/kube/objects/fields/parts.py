"""Fields that objects of many kinds have."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from loadgen.kube.objects.raw import parse_time

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
IntOrPercent = Int32 | Annotated[str, Field(max_length=20)]
Quantity = str | int | float
Name = Annotated[str, Field(min_length=1, max_length=253)]
Time = Annotated[str, AfterValidator(lambda text: (parse_time(text), text)[1])]


class Part(BaseModel):
    """A part of an object; fields that are not read may have any value."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Owner(Part):
    """The fields of `Owner` that are read."""

    kind: str
    name: Name
    uid: str


class Metadata(Part):
    """The fields of `Metadata` that are read."""

    name: Name
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: Int64 = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ownerReferences: list[Owner] = []
    creationTimestamp: Time = "1970-01-01T00:00:00Z"
    deletionTimestamp: Time = "1970-01-01T00:00:00Z"
    deletionGracePeriodSeconds: Int64 = 0


class Object(Part):
    """The fields of `Object` that are read."""

    metadata: Metadata


class NamespacedMetadata(Metadata):
    """The fields of `NamespacedMetadata` that are read."""

    namespace: Name


class Condition(Part):
    """The fields of `Condition` that are read."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    lastTransitionTime: Time = "1970-01-01T00:00:00Z"


class Requirement(Part):
    """The fields of `Requirement` that are read."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Selector(Part):
    """The fields of `Selector` that are read."""

    matchLabels: dict[str, str] = {}
    matchExpressions: list[Requirement] = []
