"""Defines the events that watches of the Kubernetes API produce."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadgen.kube.objects.raw import Raw

DELETED = "DELETED"
"""Type of the API for an object that was deleted; `ADDED` and `MODIFIED` are handled alike."""
MODIFIED = "MODIFIED"
LISTED = "LISTED"
"""A watch starts: `items` are all objects that exist."""
DISCONNECTED = "DISCONNECTED"
"""A watch was interrupted: changes are missed from `last_contact_s` until the next `LISTED`."""
LEASE_RENEWED = "LEASE_RENEWED"
"""The lease of `node` was read: the node renewed it last at `last_contact_s`, None where that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """An event of one watch.

    Attributes:
        source: Name of the `WatchedResource`.
        type: `ADDED`, `MODIFIED` or `DELETED` as the API sends it, or `LISTED`, `DISCONNECTED` or `LEASE_RENEWED`.
        at_s: Time of observation, in seconds since the epoch.
        object: The object that was added, modified or deleted.
        items: The objects of `LISTED`.
        node: The node of `LEASE_RENEWED`.
        last_contact_s: When the watch, or the node, was last known to be alive, in seconds since the epoch.
        reason: Why the watch is `DISCONNECTED`.
    """

    source: str
    type: str
    at_s: float
    object: Raw = field(default_factory=dict)
    items: Sequence[Raw] = ()
    node: str = ""
    last_contact_s: float | None = None
    reason: str = ""
