"""Writes docs/analysis.md from the dataclasses of `loadgen.analyze.results`."""

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from loadgen_reports.formats.json import MAX_ROWS, SCHEMA_VERSION

from loadgen.analyze.gaps import ERROR, EXACT
from loadgen.analyze.results import Analysis

HEAD = f"""\
# analysis.json

This file is generated from the classes in `loadgen/analyze/results/`; edit the docstrings there, then run
`UPDATE_GOLDEN=1 uv run pytest tests/unit/test_names_documented.py`. [metrics.md](metrics.md) has the formulas.

`analysis.json` is the whole analysis of a run, in base units and unrounded: seconds, ratios of 0 to 1, counts. Its root
is an [Analysis](#analysis) with two more fields:

| field | type | meaning |
|---|---|---|
| `schema_version` | integer | {SCHEMA_VERSION}; another when a field is renamed, moved or changes its meaning |
| `tables` | object | name of a table in Parquet → `rows`, and `file` below the folder of the run |

**Missing values** are null, where the column `null` says so. An infinite value is the text `"Infinity"`.

**Parquet.** The file stays below 2 MB for any length of a run and any number of replicas:

- `analysis/timeline.parquet` has the series of [Timeline](#timeline), a row for each bin; of `timeline` only `bin_s` is
  in `analysis.json`.
- `analysis/timeline.ratio_by_pod.parquet` has `pod`, `t_s` and `ratio`, a row for each replica and bin.
- A table of more than {MAX_ROWS} rows, such as `attainment.windows`, has its first {MAX_ROWS} in `analysis.json`, and
  all in `analysis/<name>.parquet`. Its objects and lists are columns of JSON text.

**Versions.** In version 1 everything was in `analysis.json`, with `timeline` as an object of lists. `loadgen report`
writes the files of such a folder again. `loadgen_reports.formats.json.read(folder)` returns either version as one
document in the form of version 1.

**Large runs.** Of up to {EXACT:,} gaps between tokens every percentile of ITL is exact. Of more gaps it is within
{ERROR * 100:.2f} % of the measured value; their count, mean and maximum, and how many exceed a limit, stay exact.
"""
_UNITS = {
    "_per_s": "1/s",
    "_s": "s",
    "_us": "µs",
    "_ratio": "ratio",
    "_bytes": "bytes",
    "_tokens": "tokens",
    "_hours": "h",
}
_WRITTEN = {
    ("Finding", "window"): "text",
    ("ClusterInfo", "kind"): None,
    ("ClusterInfo", "hpa_manifest"): None,
    ("ClusterInfo", "gpus_per_replica"): None,
}
"""Fields that `analysis.json` has as another type; None for those that it lacks: `workload` begins with the kind."""
_NAMES: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "boolean", NoneType: "null", Any: "any"}


def markdown() -> str:
    """The whole file."""
    sections = [HEAD, *("\n".join(_section(each)) + "\n" for each in classes())]
    return "\n".join(sections)


def classes() -> list[type]:
    """The dataclasses of an analysis: each after the first that has it as a field."""
    found: list[type] = [Analysis]
    for each in found:
        hints = get_type_hints(each)
        own = [hints[field.name] for field in fields(each) if (each.__name__, field.name) not in _WRITTEN]
        found += [part for part in dict.fromkeys(part for hint in own for part in _parts(hint)) if part not in found]
    return found


def meanings(each: type) -> dict[str, str]:
    """The meaning of each field that the section `Attributes` of the docstring describes."""
    _, _, listed = inspect.cleandoc(each.__doc__ or "").partition("\nAttributes:\n")
    items = (item.partition(": ") for item in re.split(r"\n {4}(?=\w+: )", f"\n{listed}")[1:])
    return {name: re.sub(r"\bNone\b", "null", " ".join(text.split())) for name, _, text in items}


def _parts(hint: Any) -> Iterator[type]:
    """The dataclasses in a type."""
    if is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for argument in get_args(hint):
        yield from _parts(argument)


def _section(each: type) -> Iterable[str]:
    doc = inspect.cleandoc(each.__doc__ or "").partition("\nAttributes:\n")[0]
    texts, hints = meanings(each), get_type_hints(each)
    yield f"## {each.__name__}\n"
    yield f"{' '.join(doc.split())}\n"
    yield "| field | type | unit | null | meaning |"
    yield "|---|---|---|---|---|"
    for field in fields(each):
        hint = hints[field.name]
        written = _WRITTEN.get((each.__name__, field.name), _type(hint))
        if written is None:
            continue
        null = "yes" if NoneType in get_args(hint) or _series(each, hint) else ""
        meaning = texts.get(field.name, "").replace("|", "\\|")
        yield f"| `{field.name}` | {written} | {_unit(each, field, hint)} | {null} | {meaning} |"


def _series(each: type, hint: Any) -> bool:
    """Whether single values of a series may be missing."""
    return each.__name__ == "Timeline" and get_origin(hint) is not None


def _unit(each: type, field: Field[Any], hint: Any) -> str:
    if float not in (hint, *get_args(hint)):
        return ""
    if each.__name__ in ("Stats", "Percentiles"):
        return "s"
    return next((unit for suffix, unit in _UNITS.items() if field.name.endswith(suffix)), "")


def _type(hint: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type(each) for each in arguments if each is not NoneType)
    if origin is tuple:
        items = [each for each in arguments if each is not Ellipsis]
        return f"list of {_type(items[0])}" if Ellipsis in arguments else f"list of {len(items)}"
    if origin is not None and len(arguments) == 2:
        return f"object: {_type(arguments[0])} → {_type(arguments[1])}"
    if is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _NAMES.get(hint, "text" if isinstance(hint, type) and issubclass(hint, str) else "object")
