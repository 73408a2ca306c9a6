"""Counts the output tokens of an answer: the server's own count wins, which is per response or cumulative."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_TOKENS = 2**31 - 1
"""Largest number of tokens that the table of requests holds."""

_CERTAIN = 6
"""Responses after which a count that always grows is cumulative, whatever their text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The output tokens of an answer.

    Attributes:
        has_output: Whether each response carried output: text, or a token whose text follows later.
        tokens: The server's count of all output tokens; None when it gave none.
        received_bytes: Size of all text.
    """

    has_output: list[bool]
    tokens: int | None
    received_bytes: int


def count_tokens(texts: Sequence[bytes], counts: Sequence[int | None]) -> Counted:
    """Count the output tokens of one answer.

    Servers give the number of tokens of each response, or of the answer so far. The numbers tell which: a cumulative
    count never falls, and grows with every response that has text. If the numbers allow both, then the count
    is chosen to which the lengths of the texts are closer to proportional.

    Args:
        texts: Output text of each response; empty for one without text.
        counts: The server's count in each response; None where it gave none.
    """
    given = [number for number, count in enumerate(counts) if count]
    values = [counts[number] or 0 for number in given]
    cumulative = False
    if values and values[-1] != values[0]:
        sizes = _sizes(texts)
        cumulative = _is_cumulative(values, [sizes[number] for number in given])
    if not given:
        return Counted(has_output=list(map(bool, texts)), tokens=None, received_bytes=sum(map(len, texts)))
    added = dict(zip(given, _steps(values) if cumulative else values, strict=True))
    return Counted(
        has_output=[bool(text) or added.get(number, 0) > 0 for number, text in enumerate(texts)],
        tokens=_in_range(sum(added.values())),
        received_bytes=sum(map(len, texts)),
    )


def _in_range(tokens: int) -> int | None:
    return tokens if 0 < tokens <= MAX_TOKENS else None


def _sizes(texts: Sequence[bytes]) -> list[int]:
    """Return how many bytes each text adds: some servers repeat the text so far in every response."""
    some = [text for text in texts if text]
    repeated = len(some) > 1 and all(len(b) > len(a) and b.startswith(a) for a, b in pairwise(some))
    sizes, before = [], 0
    for text in texts:
        sizes.append(max(0, len(text) - before))
        before = len(text) if repeated and text else before
    return sizes


def _steps(values: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *values])]


def _is_cumulative(values: Sequence[int], sizes: Sequence[int]) -> bool:
    steps = _steps(values)
    if len(values) < 2 or values[-1] == values[0] or min(steps) < 0:
        return False
    if any(step == 0 and size for step, size in zip(steps, sizes, strict=True)):
        return False
    if len(values) >= _CERTAIN or len(set(steps)) == 1:
        return True
    with_text = [number for number, size in enumerate(sizes) if size]
    own = [sizes[number] for number in with_text]
    return _distance(own, [steps[number] for number in with_text]) <= _distance(
        own, [values[number] for number in with_text]
    )


def _distance(sizes: Sequence[int], tokens: Sequence[int]) -> float:
    """Return how far text and tokens are from proportional, 0…2: the sum of the differences of their shares."""
    return sum(abs(size / sum(sizes) - count / sum(tokens)) for size, count in zip(sizes, tokens, strict=True))
