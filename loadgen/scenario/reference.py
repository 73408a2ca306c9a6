"""Writes the reference of all settings of a scenario as Markdown: types, defaults and meanings from the classes."""

import inspect
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from loadgen.base.checked import Settings
from loadgen.scenario.fleets import Kube, Local
from loadgen.scenario.prompts import Fixed, LogNormal, Prompts, Uniform
from loadgen.scenario.rates import Constant, RateBase, Spike, Step, Wave
from loadgen.scenario.settings import Pricing, Scenario, Seeds, Slo, Validity

GROUPS: dict[str, tuple[type[Settings], ...]] = {
    "Scenario": (Scenario, Slo, Validity, Pricing, Seeds),
    "Load": (Constant, Step, Spike, Wave),
    "Prompts": (Prompts, Fixed, Uniform, LogNormal),
    "Targets": (Local, Kube),
}
_SIGNS = {Gt: ">", Ge: "≥", Lt: "<", Le: "≤"}
_STATISTIC = re.compile(r"(ttft|itl|tpot|e2e)_p(\d+)_s")


def markdown() -> str:
    """Return the whole reference."""
    parts = [
        "# Settings",
        "Every setting of a scenario, with its type and default. All names are imported from `loadgen.locust`; "
        "[scenarios.md](scenarios.md) explains how they work together. `loadgen settings` prints this page.",
        "Names that end in `_s` are seconds, in `_per_s` requests per second. Loads are added with `+`, multiplied by "
        "a number, and chained with `.then()`.",
    ]
    for group, classes in GROUPS.items():
        parts.append(f"## {group}")
        for each in classes:
            parts += _section(each)
    return "\n\n".join(parts) + "\n"


def descriptions(settings: type[Settings]) -> dict[str, str]:
    """Return the meaning of each field that the section `Attributes` of the docstring describes."""
    _, _, listed = inspect.cleandoc(settings.__doc__ or "").partition("\nAttributes:\n")
    texts: dict[str, str] = {}
    for item in re.split(r"\n {4}(?=\w+: )", f"\n{listed}")[1:]:
        name, _, text = item.partition(": ")
        texts[name] = " ".join(text.split())
    for name in settings.model_fields:
        if statistic := _STATISTIC.fullmatch(name):
            texts[name] = f"Limit on the {int(statistic[2])}th percentile of {statistic[1].upper()}."
    return texts


def fields(settings: type[Settings]) -> dict[str, FieldInfo]:
    """Return the fields that a user sets; `kind` only tells the classes apart in a run folder."""
    return {name: field for name, field in settings.model_fields.items() if name != "kind"}


def _section(settings: type[Settings]) -> Iterable[str]:
    doc = inspect.cleandoc(settings.__doc__ or "").partition("\nAttributes:\n")[0].strip()
    summary, _, details = doc.partition("\n\n")
    yield f"### {settings.__name__}"
    yield " ".join(summary.split())
    if details:
        yield f"```text\n{details}\n```" if issubclass(settings, RateBase) else " ".join(details.split())
    texts = descriptions(settings)
    rows = [
        f"| `{name}` | {_type(field.annotation, field.metadata)} | {_default(field)} | {_cell(texts.get(name, ''))} |"
        for name, field in fields(settings).items()
    ]
    yield "\n".join(("| setting | type | default | meaning |", "|---|---|---|---|", *rows))


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Return a type in words, with its limits: `float > 0`, `"grpc" or "http"`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [each.metadata if isinstance(each, FieldInfo) else [each] for each in arguments[1:]]
        return _type(arguments[0], (*chain(*inner), *metadata))
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, UnionType):
        if all(inspect.isclass(each) and issubclass(each, RateBase) for each in arguments):
            return "[a load](#load)"
        return " or ".join(_type(each, metadata) for each in arguments)
    if origin is tuple:
        items = [each for each in arguments if each is not Ellipsis]
        number = "" if Ellipsis in arguments else f"{len(items)} × "
        return f"tuple of {number}{_type(items[0])}"
    if annotation is type(None):
        return "`None`"
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    limits = [f"{_SIGNS[type(each)]} {_limit(each):g}" for each in metadata if type(each) in _SIGNS]
    name = "path" if annotation is Path else getattr(annotation, "__name__", str(annotation))
    return " ".join((f"`{name}`", ", ".join(limits))).strip()


def _limit(bound: Any) -> float:
    return float(getattr(bound, type(bound).__name__.lower()))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Settings):
        declared = fields(type(value))
        given = {name: each for name, each in value if name in declared and each != declared[name].default}
        arguments = ", ".join(f"{name}={each!r}" for name, each in given.items())
        return f"`{type(value).__name__}({arguments})`"
    return f"`{value!r}`".replace("'", '"')


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
