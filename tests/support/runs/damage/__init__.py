"""Damaged run folders: every table, column and file of one synthetic run, with every kind of damage.

`damages()` names each damage and what must come of it; `Damage.make(folder)` writes the folder.
"""

from collections.abc import Iterator

from support.runs.damage.base import SECOND, UNIX_S, Damage, base, part, put, whole, with_info, with_value
from support.runs.damage.files import files, infos
from support.runs.damage.tables import columns, event_data, repeats, values

__all__ = ["SECOND", "UNIX_S", "Damage", "base", "damages", "part", "put", "whole", "with_info", "with_value"]


def damages() -> Iterator[Damage]:
    """Every damage."""
    yield from values()
    yield from columns()
    yield from event_data()
    yield from repeats()
    yield from files()
    yield from infos()
