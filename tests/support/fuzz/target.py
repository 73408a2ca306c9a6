"""Defines a fuzz target, and what a parser of outside data must keep: no foreign exception, bounded work and memory."""

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from hypothesis import strategies as st

from loadgen.base.errors import LoadgenError

MAX_MESSAGE = 4000
"""Longest error message, characters: a person reads it."""
_CALLS, _CALLS_PER_BYTE = 100_000, 40
_BYTES, _BYTES_PER_BYTE = 16 << 20, 200
_SOURCE = str(Path(__file__).parents[3] / "loadgen")


class TooMuchWork(BaseException):
    """A parser called more functions than its input justifies; no handler of the parser catches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A parser with inputs for it.

    Attributes:
        name: Its name in the output.
        valid: Inputs that it accepts, which are tried first.
        inputs: Valid inputs with damage, and anything else.
        parse: Calls the parser; it may assert what holds for the result.
        calls: Functions of the product that a valid input runs, as `package.module:qualified name`.
        errors: Exceptions that the parser documents; their messages are one line.
        examples: How many inputs are tried by default.
        measured: Whether calls and memory are counted; off where a library for tables does most of the work.
    """

    name: str
    valid: tuple[Any, ...]
    inputs: st.SearchStrategy[Any]
    parse: Callable[[Any], object]
    calls: tuple[str, ...]
    errors: tuple[type[Exception], ...] = (LoadgenError,)
    examples: int = 15
    measured: bool = True

    def check(self, value: Any) -> None:
        """Parse one input.

        Raises:
            AssertionError: the message of an error is too long or has several lines, or memory is not bounded.
            TooMuchWork: too many functions were called.
            Exception: a foreign exception.
        """
        size = _size(value)
        with _bounded(size) if self.measured else _unbounded():
            try:
                self.parse(value)
            except self.errors as error:
                message = str(error)
            else:
                return
        assert message, "an error without a message"
        assert len(message.splitlines()) == 1, f"an error of several lines: {message[:300]!r}"
        assert len(message) <= MAX_MESSAGE, f"an error of {len(message)} characters: {message[:300]!r}"

    def functions(self) -> set[str]:
        """Return the functions of the product that the valid inputs run."""
        called: set[CodeType] = set()

        def record(frame: FrameType, event: str, _: object) -> None:
            if event == "call":
                called.add(frame.f_code)

        sys.setprofile(record)
        try:
            for value in self.valid:
                self.parse(value)
        finally:
            sys.setprofile(None)
        return {
            f"loadgen.{Path(code.co_filename).relative_to(_SOURCE).with_suffix('').as_posix().replace('/', '.')}"
            f":{code.co_qualname}"
            for code in called
            if code.co_filename.startswith(_SOURCE)
        }


def _size(value: object) -> int:
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, tuple | list):
        return sum(map(_size, value))
    return 100


@contextmanager
def _unbounded() -> Iterator[None]:
    yield


@contextmanager
def _bounded(size: int) -> Iterator[None]:
    """Limit the calls and the memory of the body by the size of its input; neither depends on the machine."""
    allowed = _CALLS + _CALLS_PER_BYTE * size
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls > allowed:
                sys.setprofile(None)
                raise TooMuchWork(f"more than {allowed} calls for an input of {size} bytes")

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak - before <= _BYTES + _BYTES_PER_BYTE * size, f"{peak - before} bytes for an input of {size}"
