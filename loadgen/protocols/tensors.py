"""Input tensors of a model: shapes and binary encoding by the data types of the KServe v2 protocol."""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadgen.base.text import clean

Scalar = bool | int | float | str

_MAX_NAME, _MAX_DIMENSIONS, _MAX_EXAMPLE = 64, 8, 100
"""What a message shows of a tensor: characters of its name, dimensions, characters of a row in an example."""

_INTEGERS = {
    "INT8": "<b",
    "INT16": "<h",
    "INT32": "<i",
    "INT64": "<q",
    "UINT8": "<B",
    "UINT16": "<H",
    "UINT32": "<I",
    "UINT64": "<Q",
}
_FLOATS = {"FP16": "<e", "FP32": "<f", "FP64": "<d"}
TOKEN_COUNTS = frozenset({"INT32", "INT64", "UINT32", "UINT64"})
"""Data types that hold every number of tokens that a scenario can request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input of a model.

    Attributes:
        name: Its name.
        datatype: Its data type, such as `INT32`.
        shape: Its shape, with the batch dimension if the model has one; as declared by a model, -1 is any length.
        values: The elements in row-major order; empty when they differ between requests.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Scalar, ...] = ()

    def __str__(self) -> str:
        return f"{clean(self.name, _MAX_NAME)} ({clean(self.datatype, 20)} {dimensions(self.shape)})"

    def encode(self, *values: Scalar) -> bytes:
        """Return elements as the raw content of a tensor.

        Raises:
            ValueError: a value does not fit the data type; the message says which values do.
        """
        return b"".join(_encoded(self.datatype, value) for value in values)

    def filled(self, value: object, *, batched: bool) -> "Tensor":
        """Return this declared tensor with a value: one element, or nested sequences of elements.

        Args:
            value: The value; missing leading dimensions are of length 1.
            batched: Whether the first dimension is the batch, which is always of length 1.

        Raises:
            ValueError: shape or data type do not fit; the message says what the tensor takes.
        """
        lengths = _lengths(value)
        missing = len(self.shape) - len(lengths)
        shape = (1,) * missing + lengths
        declared = (-1, *self.shape[1:]) if batched and self.shape else self.shape
        if missing < (1 if batched else 0) or any(d not in (-1, n) for d, n in zip(declared, shape, strict=True)):
            own = dimensions(self.shape[1:] if batched else self.shape)
            raise ValueError(f"takes the shape {own} (-1 is any length), the value has {dimensions(lengths)}")
        values = tuple(_elements(value))
        self.encode(*values)
        return Tensor(name=self.name, datatype=self.datatype, shape=shape, values=values)

    @property
    def is_nested(self) -> bool:
        """Whether the values are more than one list of elements."""
        first = next((number for number, length in enumerate(self.shape) if length != 1), len(self.shape))
        return len(self.shape) - first > 1

    def json(self) -> Scalar | list[Scalar]:
        """Return the elements for a JSON request: a single one as a scalar."""
        return self.values[0] if len(self.values) == 1 else list(self.values)

    def example(self, *, batched: bool) -> str:
        """Return a value that the tensor takes, as Python source."""
        one = '"text"' if self.datatype == "BYTES" else "False" if self.datatype == "BOOL" else "0"
        own = self.shape[1:] if batched else self.shape
        if len(own) > _MAX_DIMENSIONS:
            return "…"
        for length in reversed(own):
            if length != 1:
                one = "[…]" if len(one) > _MAX_EXAMPLE else f"[{', '.join([one] * max(1, min(length, 8)))}]"
        return one


def dimensions(shape: Sequence[int]) -> str:
    """Return a shape for a message, at most its first dimensions."""
    shown = [str(length)[:20] for length in shape[:_MAX_DIMENSIONS]]
    return f"[{', '.join(shown + ['…'] * (len(shape) > _MAX_DIMENSIONS))}]"


def _encoded(datatype: str, value: Scalar) -> bytes:
    if datatype == "BYTES":
        if not isinstance(value, str):
            raise ValueError(f"takes text, not {value!r}")
        text = value.encode()
        return struct.pack("<I", len(text)) + text
    if datatype == "BOOL":
        if not isinstance(value, bool):
            raise ValueError(f"takes True or False, not {value!r}")
        return struct.pack("<?", value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"takes numbers, not {value!r}")
    try:
        if code := _INTEGERS.get(datatype):
            if isinstance(value, float):
                raise ValueError(f"takes integers, not {value!r}")
            return struct.pack(code, value)
        if datatype == "BF16":
            bits = struct.unpack("<I", struct.pack("<f", value))[0]
            return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF)  # rounded to nearest even
        if code := _FLOATS.get(datatype):
            return struct.pack(code, value)
    except (struct.error, OverflowError):
        raise ValueError(f"takes numbers of the type {datatype}, {value!r} is out of its range") from None
    raise ValueError(f"has the data type {datatype}, which loadgen cannot send")


def _lengths(value: object) -> tuple[int, ...]:
    """Return the shape of nested sequences; () for one element."""
    if not isinstance(value, list | tuple):
        return ()
    inner = {_lengths(item) for item in value}
    if len(inner) > 1:
        raise ValueError("takes rows of equal length and kind")
    return (len(value), *(inner.pop() if inner else ()))


def _elements(value: object) -> Iterator[Scalar]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _elements(item)
    elif isinstance(value, bool | int | float | str) and not (isinstance(value, float) and not math.isfinite(value)):
        yield value
    else:
        raise ValueError(f"takes numbers, True, False or text, not {value!r}")


def as_tensors(values: Sequence[dict[str, object]]) -> tuple[Tensor, ...]:
    """Build tensors from the plain values of a Locust message."""
    return tuple(
        Tensor(
            name=str(value["name"]),
            datatype=str(value["datatype"]),
            shape=tuple(value["shape"]),  # type: ignore[arg-type]  # a list of integers
            values=tuple(value["values"]),  # type: ignore[arg-type]  # a list of scalars
        )
        for value in values
    )
