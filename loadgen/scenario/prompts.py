"""Defines the prompts of a test and the distributions of their lengths."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from loadgen.base.checked import Settings

Tokens = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""A number of tokens: Triton's tensors and the table of requests hold 32 bits."""

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]

_NOT_GIVEN: Any = object()
"""A setting that may be given by position, and was not given so."""


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not _NOT_GIVEN}


class Uniform(Settings):
    """Uniformly distributed integers.

    Attributes:
        low: Smallest value.
        high: Largest value.
    """

    kind: Literal["uniform"] = "uniform"
    low: Tokens
    high: Tokens

    def __init__(self, low: int = _NOT_GIVEN, high: int = _NOT_GIVEN, **fields: Any) -> None:
        super().__init__(**_given(low=low, high=high), **fields)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high {self.high} is below low {self.low}: swap them")
        return self


class Fixed(Settings):
    """Always the same integer.

    Attributes:
        value: The value.
    """

    kind: Literal["fixed"] = "fixed"
    value: Tokens

    def __init__(self, value: int = _NOT_GIVEN, **fields: Any) -> None:
        super().__init__(**_given(value=value), **fields)


class LogNormal(Settings):
    """Log-normally distributed integers: rounded, and clipped to [low, high].

    Attributes:
        median: Median of the distribution.
        sigma: Standard deviation of the logarithm.
        low: Smallest value.
        high: Largest value.
    """

    kind: Literal["lognormal"] = "lognormal"
    median: PositiveFloat
    sigma: NonNegativeFloat
    low: Tokens = 1
    high: Tokens

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.median <= self.high:
            raise ValueError(f"median {self.median:g} is outside low {self.low} … high {self.high}")
        return self


Lengths = Annotated[Uniform | Fixed | LogNormal, Field(discriminator="kind")]


class Prompts(Settings):
    """Source of the prompts: seeded excerpts of the bundled text, or a JSONL file.

    A prompt from the bundled text is a shared prefix, a unique head and an excerpt. The head differs for every request,
    so that a prefix cache of the server finds the shared prefix and nothing else.

    Attributes:
        input_tokens: Length of each prompt, in tokens of about four characters (bundled text only).
        output_tokens: `max_tokens` of each request; `max_tokens` in a file takes precedence.
        file: JSONL file, one object per line with `prompt` and optionally `max_tokens`. The lines are used in random
            order, each once, before any is repeated.
        shared_prefix: Share of each prompt, from its start, that all prompts have in common (bundled text only).
        unique_per: `run`: the heads depend on the run's id, so that a second run repeats no prompt of the first;
            `seed`: they depend on the seed of the prompts, and a second run sends the same prompts.
    """

    input_tokens: Lengths = Uniform(32, 256)
    output_tokens: Lengths = Uniform(16, 64)
    file: Path | None = None
    shared_prefix: Ratio = 0.0
    unique_per: Literal["run", "seed"] = "run"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.file is not None and self.shared_prefix:
            raise ValueError(
                "shared_prefix applies to the bundled text only: omit it, and write the prefix into the prompts file"
            )
        return self
