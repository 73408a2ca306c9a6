"""Types of fields that decode and validate JSON as the API server does, for models of Kubernetes objects.

A JSON null is Go's zero value: an empty text, list or map. Every message says what the field may be.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StrictStr

from loadgen.autoscale.arithmetic import MAX_INT32, MIN_INT32, approximate_float
from loadgen.base.quantity import parse_milli, parse_quantity

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
# Go reads a number without digits as 0: in `m`, `+` and `.` the zero is missing before the point or suffix.
_NO_DIGIT = re.compile(r"\A([+-]?)(?=\.?([KMGTPE]i|[numkKMGTPE]|[eE][+-]?[0-9]+)?\Z)")


def _int32(value: object) -> int:
    """Decode an int32; a float without a fraction is one, because kubectl writes 3.0 as 3."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{value!r:.60} is not a whole number")
    if not MIN_INT32 <= value <= MAX_INT32:
        raise ValueError(f"{value!r:.60} does not fit into 32 bits: use at most {MAX_INT32}")
    return int(value)


def _quantity_text(value: Any) -> Any:
    """Write a quantity as `parse_quantity` reads it, where Kubernetes reads more."""
    if not isinstance(value, str) or not value.strip(" "):
        return value
    return _NO_DIGIT.sub(r"\g<1>0", value.strip(" "))


def _positive_milli(value: Any) -> int:
    text = _quantity_text(value)
    quantity = parse_quantity(text)
    if quantity <= 0:
        raise ValueError(f"a target of {value!r:.60} can never be met: use more than 0")
    try:
        return parse_milli(text)
    except ValueError:
        # The API server accepts it; `Quantity.MilliValue` of the controller overflows to 0.
        return 0


def _not_negative_ratio(value: Any) -> float:
    quantity = parse_quantity(_quantity_text(value))
    if quantity < 0:
        raise ValueError(f"a tolerance of {value} is negative: use 0 or more")
    return approximate_float(quantity)


def _path_segment(value: str) -> str:
    """`content.IsPathSegmentName`."""
    if value in ("", ".", "..") or "/" in value or "%" in value:
        raise ValueError(f"{value!r:.60} cannot be a part of a URL path: use a name without '/' and '%'")
    return value


def _group_version(value: str, *, group_required: bool) -> str:
    """`ValidateAPIVersion`."""
    group, slash, _ = value.partition("/")
    if value.count("/") > 1 or (group_required and not (slash and group)):
        raise ValueError(f"{value!r:.60} is not the group and version of a workload: write one such as apps/v1")
    return value


def _resource_name(value: str) -> str:
    if not value:
        raise ValueError("the resource has no name: write one such as cpu")
    return value


def _container_resource_name(value: str) -> str:
    """`ValidateContainerResourceName`: a standard resource, or an extended one such as nvidia.com/gpu."""
    extended = is_qualified_name(value) and "/" in value
    if "kubernetes.io/" not in value:
        extended = extended and not value.startswith("requests.") and is_qualified_name(f"requests.{value}")
    standard = value in _STANDARD_RESOURCES or (value.startswith("hugepages-") and is_qualified_name(value))
    if not (extended or standard):
        raise ValueError(f"{value!r:.60} is not a resource of containers: write one such as cpu or nvidia.com/gpu")
    return value


def _container_name(value: str) -> str:
    if len(value) > 63 or not re.fullmatch(_DNS_LABEL, value, re.ASCII):
        raise ValueError(f"{value!r:.60} is not a container's name: use small letters, digits and '-'")
    return value


def is_qualified_name(value: str) -> bool:
    """Return whether a text is a valid key of a label, such as `team` or `example.com/team` (`IsQualifiedName`)."""
    prefix, slash, name = value.rpartition("/")
    return (not slash or is_dns_subdomain(prefix)) and len(name) <= 63 and bool(re.fullmatch(_NAME, name))


def is_label_value(value: str) -> bool:
    """Return whether a text is a valid value of a label (`IsValidLabelValue`)."""
    return not value or (len(value) <= 63 and bool(re.fullmatch(_NAME, value)))


def is_dns_subdomain(value: str) -> bool:
    """Return whether a text is a valid name of most objects (`IsDNS1123Subdomain`)."""
    return len(value) <= 253 and bool(re.fullmatch(_DNS_SUBDOMAIN, value))


def _empty_text(value: Any) -> Any:
    return "" if value is None else value


def _empty_map(value: Any) -> Any:
    return {} if value is None else value


def _list(value: Any) -> Any:
    if value is not None and not isinstance(value, list | tuple):
        raise ValueError(f"{value!r:.60} is not a list")
    return () if value is None else value


Text = Annotated[StrictStr, BeforeValidator(_empty_text)]
TextMap = Annotated[dict[StrictStr, Text], BeforeValidator(_empty_map)]
AList = BeforeValidator(_list)
Int32 = Annotated[int, BeforeValidator(_int32)]
PositiveMilli = Annotated[int, BeforeValidator(_positive_milli)]
NotNegativeRatio = Annotated[float, BeforeValidator(_not_negative_ratio)]
PathSegment = Annotated[Text, AfterValidator(_path_segment)]
GroupVersion = Annotated[Text, AfterValidator(lambda value: _group_version(value, group_required=False))]
NamedGroupVersion = Annotated[Text, AfterValidator(lambda value: _group_version(value, group_required=True))]
ResourceName = Annotated[Text, AfterValidator(_resource_name)]
ContainerResourceName = Annotated[Text, AfterValidator(_container_resource_name)]
ContainerName = Annotated[Text, AfterValidator(_container_name)]
