"""Every function that parses data is a fuzz target, or listed with the reason why it is none."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.fuzz.targets import TARGETS
from support.fuzz.trusted import TRUSTED

ROOT = Path(__file__).parents[2] / "loadgen"
PARSERS = {
    "json": {"load", "loads"},
    "yaml": {"load", "safe_load", "safe_load_all"},
    "csv": {"reader", "DictReader"},
    "struct": {"unpack", "unpack_from"},
    "tomllib": {"load", "loads"},
    "pq": {"read_table"},
    "int": {"from_bytes"},
    "datetime": {"fromisoformat", "strptime"},
}
METHODS = {"model_validate", "model_validate_json", "validate_python", "validate_json", "FromString", "ParseFromString"}
FUNCTIONS = {
    "urlsplit", "urlparse", "parse_qsl", "parsedate_to_datetime", "MessageToDict", "text_string_to_metric_families",
    "parse_yaml", "parse_yaml_documents", "parse_headers",
}  # fmt: skip


def parses(call: ast.Call) -> bool:
    """Return whether a call decodes or validates data."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in FUNCTIONS
    if not isinstance(function, ast.Attribute):
        return False
    module = function.value.id if isinstance(function.value, ast.Name) else ""
    return function.attr in METHODS or function.attr in PARSERS.get(module, ())


def parsers(node: ast.AST, scope: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the qualified names of the functions below a node that parse data."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and parses(child):
            yield ".".join(scope)
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        inner = scope
        if named:
            is_local = scope and not isinstance(node, ast.ClassDef)
            inner = (*scope, *(("<locals>",) if is_local else ()), child.name)
        yield from parsers(child, inner)


def all_parsers() -> set[str]:
    """Return every function of the package that parses data, as `package.module:qualified name`."""
    found = set()
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(("loadgen", *file.relative_to(ROOT).with_suffix("").parts))
        found |= {f"{module}:{name}" for name in parsers(ast.parse(file.read_text()))}
    return found


def test_every_parser_is_a_target_or_trusted() -> None:
    """A new parser of outside data needs a target in tests/support/fuzz, any other a reason in trusted.py."""
    fuzzed = {call for target in TARGETS for call in target.calls}
    assert all_parsers() - fuzzed - TRUSTED.keys() == set()


def test_reasons_are_for_parsers_that_exist() -> None:
    """A reason is deleted with its function, and when the function becomes a target."""
    fuzzed = {call for target in TARGETS for call in target.calls}
    assert TRUSTED.keys() - all_parsers() == set()
    assert TRUSTED.keys() & fuzzed == set()
