"""What a server says about a request: durations from four times, and the name of a replica."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.protocols.engine import TIME_OUTPUTS, engine_times, integer, pod_name

NONE = (None, None, None)


def times(*values: object) -> tuple[float | None, ...]:
    return engine_times(dict(zip(TIME_OUTPUTS, values, strict=True)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1_000_000_000, 1_500_000_000, 1_750_000_000, 3_750_000_000), (0.5, 0.25, 2.0)),
        ((5, 5, 5, 5), (0.0, 0.0, 0.0)),
        ((10**9, 2 * 10**9, 0, 0), (1.0, None, None)),
        ((10**9, 0, 0, 0), NONE),
        ((0, 0, 0, 0), NONE),
        ((0, 10**9, 2 * 10**9, 2 * 10**9), (None, 1.0, 0.0)),
        ((3 * 10**9, 2 * 10**9, 10**9, 10**9), (None, None, 0.0)),
        ((1, 1, 1, 10**18), (0.0, 0.0, None)),
        ((-5, -4, -3, -2), NONE),
        (("1", "2", "3", "1000000003"), (1e-9, 1e-9, 1.0)),
        (([1], [2], [3], [4]), (1e-9, 1e-9, 1e-9)),
        ((None, "soon", True, 1.5), NONE),
        (("9" * 21,) * 4, NONE),
    ],
)
def test_durations(values: tuple[object, ...], expected: tuple[float | None, ...]) -> None:
    """Zero is a time that was not reached; times in disorder, and longer than any run, are not measured."""
    assert times(*values) == expected


@given(st.dictionaries(st.sampled_from(TIME_OUTPUTS), st.none() | st.integers() | st.text(max_size=30)))
def test_any_value_is_a_duration_or_none(values: dict[str, Any]) -> None:
    """A duration is never negative."""
    assert all(each is None or each >= 0 for each in engine_times(values))


def test_a_shift_of_the_clock_changes_nothing() -> None:
    """The engine's clock is another machine's."""
    start = (10**9, 2 * 10**9, 5 * 10**9, 9 * 10**9)
    assert times(*start) == times(*(each + 1_700_000_000_000_000_000 for each in start)) == (1.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("triton-7d9f-x1x2", "triton-7d9f-x1x2"),
        (" triton-0 ", "triton-0"),
        ("", None),
        (" ", None),
        ("a\nb", None),
        ("\ud83d", None),
        ("x" * 254, None),
        (7, None),
        (["a", "b"], None),
        (None, None),
    ],
)
def test_names(value: object, name: str | None) -> None:
    """What is no name of an object is not observed."""
    assert pod_name(value) == name


@pytest.mark.parametrize(
    ("value", "number"), [("7", 7), ([1, "8"], 8), ([], None), (True, None), (2.0, None), ("-1", None)]
)
def test_integers(value: object, number: int | None) -> None:
    """A string or the last element of a list counts, as JSON of Triton has them."""
    assert integer(value) == number
