"""Fills the inputs of a model by its metadata: those of every request, and those that the scenario gives values."""

from collections.abc import Iterable, Mapping

from loadgen.base.errors import TargetError
from loadgen.base.proposals import listed, meant
from loadgen.base.text import clean
from loadgen.protocols.tensors import TOKEN_COUNTS, Tensor, dimensions

_MAX_NAMES = 20


def standard_inputs(
    model: str, declared: Mapping[str, Tensor], datatypes: Mapping[str, str], *, batched: bool
) -> tuple[Tensor, ...]:
    """Return the inputs that the load fills with one element each, with the declared data types and shapes.

    Args:
        model: Name of the model, for messages.
        declared: The inputs in the model's metadata.
        datatypes: Names of the inputs, with the data type of one that declares none.
        batched: Whether shapes have a leading batch dimension.

    Raises:
        TargetError: an input takes other values than the load has.
    """
    tensors = []
    for name, usual in datatypes.items():
        datatype = declared[name].datatype or usual
        takes = TOKEN_COUNTS if usual == "INT32" else {usual}
        if datatype not in takes:
            raise TargetError(
                f"model {model!r} declares its input {name} as {clean(datatype, 20)}, and loadgen can send only "
                f"{' or '.join(sorted(takes))}: correct the model's config.pbtxt, or set --model to another model"
            )
        shape = declared[name].shape or ((1, 1) if batched else (1,))
        if not _takes_one(shape, batched=batched):
            raise TargetError(
                f"model {model!r} declares its input {name} with the shape {dimensions(shape)}, and loadgen sends one "
                f"element: correct the model's config.pbtxt, or set --model to another model"
            )
        tensors.append(Tensor(name=name, datatype=datatype, shape=(1,) * len(shape)))
    return tuple(tensors)


def takes_flag(tensor: Tensor | None, *, batched: bool) -> bool:
    """Whether this is a declared input that takes True or False as its one element."""
    return tensor is not None and tensor.datatype in ("", "BOOL") and _takes_one(tensor.shape, batched=batched)


def _takes_one(shape: tuple[int, ...], *, batched: bool) -> bool:
    return all(length in (-1, 1) for length in (shape[1:] if batched else shape))


def scenario_inputs(
    model: str, declared: Mapping[str, Tensor], given: Mapping[str, object], reserved: Iterable[str], *, batched: bool
) -> tuple[Tensor, ...]:
    """Return the inputs of a scenario as the model declares them.

    Args:
        model: Name of the model, for messages.
        declared: The inputs in the model's metadata.
        given: Values by name of the input.
        reserved: Inputs that the load fills itself.
        batched: Whether shapes have a leading batch dimension.

    Raises:
        TargetError: the model has no such input, or a value does not fit it.
    """
    tensors = []
    for name, value in given.items():
        if name in reserved:
            raise TargetError(
                f"inputs of the scenario: {clean(name, 64)} is filled by the load itself; remove it (prompts= sets "
                f"prompts and their lengths, stream= sets streaming)"
            )
        if name not in declared:
            raise TargetError(
                f"inputs of the scenario: model {model!r} has no input {name!r}"
                f"{meant(repr(name), map(repr, declared))}; it takes: {listed(sorted(declared))}"
            )
        try:
            tensors.append(declared[name].filled(value, batched=batched))
        except ValueError as error:
            raise TargetError(f"inputs of the scenario: {declared[name]} of model {model!r} {error}") from None
    return tuple(tensors)


def require_all(
    model: str, declared: Mapping[str, Tensor], optional: Iterable[str], filled: Iterable[str], *, batched: bool
) -> None:
    """Refuse a model with required inputs that the load does not fill.

    Raises:
        TargetError: naming these inputs, and how to give them.
    """
    lacking = sorted(set(declared) - set(optional) - set(filled))
    if not lacking:
        return
    shown = [declared[name] for name in lacking[:_MAX_NAMES]]
    more = f" and {len(lacking) - _MAX_NAMES} more" if len(lacking) > _MAX_NAMES else ""
    example = ", ".join(f'"{clean(tensor.name, 64)}": {tensor.example(batched=batched)}' for tensor in shown)
    names = ", ".join(clean(tensor, 100) for tensor in shown) + more
    raise TargetError(
        f"model {model!r} requires inputs that the load does not fill: {names}; "
        f"give each a value in the scenario, such as inputs={{{example}}}, or declare it optional in config.pbtxt"
    )
