"""Counts of output tokens: per response or cumulative, told apart by the numbers and the texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.protocols.tokens import count_tokens


@pytest.mark.parametrize(
    ("counts", "texts", "tokens", "with_output"),
    [
        ([4, 4, 4, 4, 4], "xxxxx", 20, 5),
        ([4, 8, 12, 16, 20], "xxxxx", 20, 5),
        ([4, 8, 12, 14], "xxxx", 14, 4),
        ([20], "x", 20, 1),
        ([None, None, 20], "xxx", 20, 3),
        # the first responses have tokens whose text comes later
        ([1, 1, 1, 1], "  xx", 4, 4),
        ([1, 2, 3, 4], "  xx", 4, 4),
        # a last response without text: with a token, without a token, or with the total once more
        ([1, 1, 1], "xx ", 3, 3),
        ([2, 2, 0], "xx ", 4, 2),
        ([1, 2, 3, 3], "xxx ", 3, 3),
        ([3, 6, None], "xx ", 6, 2),
        # speculative decoding: any number of tokens in each response
        ([1, 3, 2, 3], "xxxx", 9, 4),
        ([2, 2, 5], "xxx", 9, 3),
        # no count at all
        ([None, None], "xx", None, 2),
        ([0, 0], "xx", None, 2),
        ([None, None], "x ", None, 1),
        ([], "", None, 0),
        ([2**31 - 1, 2**31 - 1], "xx", None, 2),
    ],
)
def test_counts(counts: list[int | None], texts: str, tokens: int | None, with_output: int) -> None:
    """The sum of counts per response, or the last of cumulative counts; a blank stands for an empty text."""
    counted = count_tokens([text.strip().encode() for text in texts], counts)
    assert (counted.tokens, sum(counted.has_output)) == (tokens, with_output)


def test_growing_counts_that_fit_the_texts_are_per_response() -> None:
    """Counts 1, 3 and 4 are eight tokens if the texts have that proportion, and four if they have that of the steps."""
    one, two, three, four = b"abcd", b"efgh" * 2, b"ijkl" * 3, b"mnop" * 4
    assert count_tokens([one, three, four], [1, 3, 4]).tokens == 8
    assert count_tokens([one, two, one], [1, 3, 4]).tokens == 4


def test_cumulative_texts() -> None:
    """A server that repeats the text so far in every response gives cumulative counts, too."""
    assert count_tokens([b"a b", b"a b c", b"a b c d e f g"], [2, 3, 7]).tokens == 7


@given(steps=st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_both_kinds_of_counts_agree(steps: list[int]) -> None:
    """With text in proportion to the tokens, counts per response and cumulative counts give the same total."""
    texts = [b"word" * step for step in steps]
    total = [sum(steps[: number + 1]) for number in range(len(steps))]
    expected = sum(steps)
    assert count_tokens(texts, total).tokens == expected
    if steps != sorted(set(steps)) or len(steps) == 1:  # counts that always grow can be cumulative
        assert count_tokens(texts, list(steps)).tokens == expected
