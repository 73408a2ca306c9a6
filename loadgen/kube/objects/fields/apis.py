"""Fields of the API's own description that are read."""

from typing import Annotated

from pydantic import Field

from loadgen.kube.objects.fields.parts import Part


class GroupVersion(Part):
    """The fields of `GroupVersion` that are read."""

    groupVersion: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[a-z0-9]+$")]


class ApiGroup(Part):
    """The fields of `ApiGroup` that are read."""

    preferredVersion: GroupVersion


class Resource(Part):
    """The fields of `Resource` that are read."""

    name: str


class ApiResources(Part):
    """The fields of `ApiResources` that are read."""

    resources: list[Resource] = []


class Version(Part):
    """The fields of `Version` that are read."""

    gitVersion: str = "unknown"
