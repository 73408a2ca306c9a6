"""YAML of users: values of JSON, or one line that says what is wrong."""

import pytest

from loadgen.base.yaml_text import parse_yaml

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-11-30", {"a": "2026-11-30"}),
        ("a: 2026-13-45", {"a": "2026-13-45"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("", None),
    ],
)
def test_dates_are_text(text: str, value: object) -> None:
    """As Helm and kubectl read them, so a tag or a version that looks like a date stays what it is."""
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is not valid YAML"),
        ("[" * 100_000, "is nested too deeply"),
        ("{a: " * 100_000, "is nested too deeply"),
        ("\n".join(" " * depth + "a:" for depth in range(1200)), "is nested too deeply"),
        ("&a [*a]", "is nested too deeply"),
        (ALIASES, "aliases that expand to too many values"),
        ("a: !!binary aGVsbG8=", "is not of JSON"),
        ("a: !!set {b}", "is not of JSON"),
        ("a: !!timestamp 2026-13-45", "cannot be read"),
        ("a: !!int x", "cannot be read"),
        ("? [a]\n: b", "is not valid YAML"),
    ],
    ids=lambda text: text[:20],
)
def test_anything_else_is_one_line(text: str, problem: str) -> None:
    """Also for documents that cost much time or memory to read or to write."""
    with pytest.raises(ValueError, match=problem) as raised:
        parse_yaml(text)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 400
