"""Proposes names for one that does not exist, which is usually a misspelling."""

from collections.abc import Iterable
from difflib import get_close_matches

from loadgen.base.text import printable

_MAX_COMPARED = 1000
_MAX_LISTED = 20
_MAX_LENGTH = 64


def near(given: str, names: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """Return the names that are most like the given one, at most two.

    Args:
        given: The name that does not exist. Case, `-` and `_` do not count.
        names: The names that exist.
        cutoff: The least similarity, from 0 to 1.
    """
    plain: dict[str, str] = {}
    for name in list(names)[:_MAX_COMPARED]:
        plain.setdefault(_plain(name), name)
    return [plain[each] for each in get_close_matches(_plain(given), plain, n=2, cutoff=cutoff)]


def meant(given: str, names: Iterable[str]) -> str:
    """Return the names that may have been meant, as ` (did you mean a or b?)`; empty if no name is like the given one.

    Args:
        given: The name that does not exist.
        names: The names that exist.
    """
    close = near(given, names)
    return f" (did you mean {' or '.join(map(_shown, close))}?)" if close else ""


def listed(names: Iterable[str]) -> str:
    """Return names for a message, at most twenty, each cut to a length that fits a line."""
    every = list(names)
    more = f" and {len(every) - _MAX_LISTED} more" if len(every) > _MAX_LISTED else ""
    return (", ".join(map(_shown, every[:_MAX_LISTED])) or "none") + more


def _plain(name: str) -> str:
    return name[:_MAX_LENGTH].lower().replace("-", "_")


def _shown(name: str) -> str:
    return printable(name if len(name) <= _MAX_LENGTH else f"{name[:_MAX_LENGTH]}…").replace("\n", " ")
