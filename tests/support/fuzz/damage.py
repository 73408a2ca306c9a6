"""Strategies for damaged documents: a valid one with missing keys, wrong types, extreme values and deep nesting."""

import copy
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

_DEEP = "@deep-"
# around the interpreter's recursion limit of 1000, below which the frames of the caller need some room
_DEPTHS = (5, 100, 300, 480, 500, 700, 800, 850, 900, 925, 950, 975, 1000, 100_000)
_TEXTS = (
    "", " ", "\n", "a\nb", "\x00", "\x1b[31m", "\x85", "\u2028", "\u202e", "\ud800", "0", "-1", "²", "٣", "1e999",
    "9" * 5000, "x" * 20_000, "NaN", "Infinity", "../..", "/dev/zero", "%", "{", "[::1", "http://[", "Type", "type",
    "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "2026-13-01T00:00:00Z", "{ip}", "{x}", "None",
)  # fmt: skip
_VALUES = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"), [], {}, [None], [[]], [{}], {"": None}, {"name": None}, [0] * 300,
)  # fmt: skip


def _one_of(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for one of some values whose own description is short, as Hypothesis prints it."""
    return st.integers(0, len(values) - 1).map(lambda number: copy.deepcopy(values[number]))


ODD = st.one_of(
    _one_of(_VALUES),
    _one_of(_TEXTS),
    st.sampled_from(_DEPTHS).flatmap(lambda depth: st.sampled_from((f"{_DEEP}list-{depth}@", f"{_DEEP}map-{depth}@"))),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
"""Values that a field does not expect; some are marks, which `_with_depth` replaces in the encoded document."""


@st.composite
def damaged(draw: st.DrawFn, *valid: Any) -> Any:
    """A valid document with up to three changes, as plain values."""
    document = draw(_one_of(valid))
    for _ in range(draw(st.integers(0, 3))):
        document = _changed(draw, document)
    return document


def json_bytes(*valid: Any) -> st.SearchStrategy[bytes]:
    """Damaged documents as JSON, some of them with damaged bytes."""
    return st.one_of(*(damaged(*valid).map(encode_json) for _ in range(5)), damaged_bytes(*map(encode_json, valid)))


def yaml_bytes(*valid: Any) -> st.SearchStrategy[bytes]:
    """Damaged documents as YAML, with tags, anchors and damaged bytes."""
    # fmt: off
    fragments = st.sampled_from(
        (b"&a ", b"*a", b"!!binary x", b"!!timestamp 2026-13-45", b"2026-13-45", b"!!python/object:os.system ",
         b"? [a]\n: b", b"0x_", b"!!int 1_", b"1:99:99", b"<<: *a", b"%YAML 9", b"---\n", b"\xff\xfe", b"&a {b: *a}",
         b"!!float x", b"!!set {a}", b"=", b"!!null x")
    )
    # fmt: on
    texts = [encode_yaml(each) for each in valid]
    with_fragment = st.tuples(_one_of(texts), fragments, st.integers(0, 1 << 16)).map(
        lambda drawn: _insert(drawn[0], drawn[1], drawn[2] % (len(drawn[0]) + 1))
    )
    at_value = st.tuples(_one_of(texts), fragments, st.integers(0, 1 << 16)).map(_at_value)
    return st.one_of(damaged(*valid).map(encode_yaml), with_fragment, at_value, fragments, damaged_bytes(*texts))


def damaged_bytes(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Valid bytes that are cut, repeated, or have other bytes in them, and any bytes."""

    def change(drawn: tuple[bytes, int, int, bytes, str]) -> bytes:
        data, start, end, other, how = drawn
        start, end = sorted((start % (len(data) + 1), end % (len(data) + 1)))
        if how == "cut":
            return data[:start] + data[end:]
        if how == "end":
            return data[:start]
        if how == "repeat":
            return data[:end] + data[start:end] * 3 + data[end:]
        return data[:start] + other + data[start:]

    place = st.integers(0, 1 << 20)
    odd = st.one_of(
        st.binary(max_size=8),
        _one_of(_TEXTS).map(lambda text: text.encode(errors="surrogatepass")),
        _one_of((b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b"1e999", b"9" * 5000, b"\xed\xa0\x80", b"\r", b",")),
    )
    how = st.sampled_from(("cut", "end", "repeat", "insert"))
    return st.one_of(st.tuples(_one_of(valid), place, place, odd, how).map(change), odd, st.binary(max_size=200))


def damaged_text(*valid: str) -> st.SearchStrategy[str]:
    """Valid texts with damage, and any text, also with halves of surrogate pairs."""
    some = damaged_bytes(*(each.encode() for each in valid)).map(lambda data: data.decode(errors="surrogateescape"))
    return st.one_of(some, _one_of(_TEXTS), st.text(st.characters(), max_size=40))


def encode_json(document: Any) -> bytes:
    """Return a document as JSON, with the nesting that its marks ask for."""
    return _with_depth(json.dumps(document), lambda depth: ("[" * depth, "]" * depth), '{"a":').encode()


def encode_yaml(document: Any) -> bytes:
    """Return a document as YAML; flow style, so that nesting needs no indentation."""
    text = yaml.safe_dump(document, default_flow_style=None, allow_unicode=True, width=1000)
    # PyYAML's parser is quadratic in depth: the marks ask for less here
    return _with_depth(text, lambda depth: ("[" * min(depth, 1200), "]" * min(depth, 1200)), "{a: ", 1200).encode(
        errors="surrogatepass"
    )


def _with_depth(text: str, lists: Callable[[int], tuple[str, str]], opening: str, most: int = 1 << 20) -> str:
    def nested(match: re.Match[str]) -> str:
        depth = int(match[2])
        if match[1] == "list":
            return "".join(lists(depth))
        return opening * min(depth, most) + "0" + "}" * min(depth, most)

    return re.sub(rf"[\"']?{_DEEP}(list|map)-(\d+)@[\"']?", nested, text)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document as its container and the key in it."""
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        each = waiting.pop()
        keys: Any = each if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        for key in keys:
            places.append((each, key))
            waiting.append(each[key])
    return places


def _changed(draw: st.DrawFn, document: Any) -> Any:
    places = _places(document)
    if not places:
        return draw(ODD)
    container, key = places[draw(st.integers(0, len(places) - 1))]
    how = draw(st.sampled_from(("odd", "odd", "odd", "delete", "delete", "swap", "repeat", "rename", "wrap", "root")))
    if how == "root":
        return draw(ODD) if draw(st.integers(0, 9)) == 0 else [document]
    if how == "delete":
        del container[key]
    elif how == "swap":
        other, name = places[draw(st.integers(0, len(places) - 1))]
        container[key] = copy.deepcopy(other[name])
    elif how == "repeat" and isinstance(container, list):
        container.extend(copy.deepcopy(container[key]) for _ in range(draw(st.sampled_from((1, 3, 200)))))
    elif how == "rename" and isinstance(container, dict):
        container[draw(_one_of(_TEXTS))] = container.pop(key)
    elif how == "wrap":
        container[key] = [container[key]] if draw(st.booleans()) else {"": container[key]}
    else:
        container[key] = draw(ODD)
    return document


def _insert(data: bytes, other: bytes, at: int) -> bytes:
    return data[:at] + other + data[at:]


def _at_value(drawn: tuple[bytes, bytes, int]) -> bytes:
    """Put a fragment in front of a value, where YAML reads it as one."""
    data, other, number = drawn
    places = [match.end() for match in re.finditer(rb": ", data)] or [0]
    return _insert(data, other + b" ", places[number % len(places)])
