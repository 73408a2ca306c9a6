"""Provides the prompts: seeded excerpts of the bundled public-domain text, or lines of a JSONL file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from loadgen.base.errors import SettingsError
from loadgen.scenario.settings import Fixed, Lengths, Prompts, Tokens, Uniform

CHARACTERS_PER_TOKEN = 4
"""Assumed length of a token of English text; only a server's tokenizer knows the true count."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The prompt of one request: text, its length in tokens (see CHARACTERS_PER_TOKEN), maximum output tokens."""

    text: str
    input_tokens: int
    max_tokens: int


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    prompt: str
    max_tokens: Tokens | None = None
    input_tokens: Tokens | None = None


class PromptSource:
    """The prompt of every arrival, a pure function of settings, seed and the arrival's number.

    Args:
        settings: Lengths, or a JSONL file with one `{"prompt": …, "max_tokens": …}` per line.
        count: Number of arrivals.
        seed: Seed of all draws.

    Raises:
        SettingsError: the file cannot be read or a line is malformed; the message names the line.
    """

    def __init__(self, settings: Prompts, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._max_tokens = draw(settings.output_tokens, count, random)
        if settings.file is None:
            self._lines: Sequence[_Line] = ()
            self._text = bundled_text()
            self._input_tokens = draw(settings.input_tokens, count, random)
            # excerpts start anywhere: prompts with a common prefix would measure the server's prefix cache
            self._picks = random.integers(0, len(self._text), size=count)
        else:
            self._lines = read_jsonl(settings.file)
            self._picks = random.integers(0, len(self._lines), size=count)

    def __getitem__(self, number: int) -> Prompt:
        pick = int(self._picks[number])
        max_tokens = int(self._max_tokens[number])
        if self._lines:
            line = self._lines[pick]
            tokens = line.input_tokens or max(1, len(line.prompt) // CHARACTERS_PER_TOKEN)
            return Prompt(text=line.prompt, input_tokens=tokens, max_tokens=line.max_tokens or max_tokens)
        tokens = int(self._input_tokens[number])
        length = tokens * CHARACTERS_PER_TOKEN
        excerpt = self._text[pick : pick + length]
        while len(excerpt) < length:
            excerpt += self._text[: length - len(excerpt)]
        return Prompt(text=excerpt, input_tokens=tokens, max_tokens=max_tokens)


def bundled_text() -> str:
    """Return the public-domain text that prompts are taken from; see `loadgen/load/text/README.md` for its source."""
    return (resources.files("loadgen.load") / "text" / "founding_documents.txt").read_text(encoding="ascii")


def draw(lengths: Lengths, count: int, random: np.random.Generator) -> Ints:
    """Draw `count` integers from a distribution of lengths."""
    if isinstance(lengths, Fixed):
        return np.full(count, lengths.value, dtype=np.int64)
    if isinstance(lengths, Uniform):
        return random.integers(lengths.low, lengths.high, size=count, endpoint=True)
    raw = random.lognormal(np.log(lengths.median), lengths.sigma, size=count)
    return np.clip(np.rint(raw), lengths.low, lengths.high).astype(np.int64)


def read_jsonl(file: Path) -> list[_Line]:
    """Read the prompts of a JSONL file; blank lines are ignored.

    Raises:
        SettingsError: the file is unreadable or empty, or a line is malformed; the message names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"prompt file {file} cannot be read: {error}; give a UTF-8 JSONL file") from error
    lines: list[_Line] = []
    for number, raw in enumerate(
        text.split("\n"), start=1
    ):  # splitlines() would also split at characters inside a JSON string
        if not raw.strip():
            continue
        try:
            line = _Line.model_validate(json.loads(raw))
            if not line.prompt:
                raise ValueError("the prompt is empty")
            line.prompt.encode()
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "line"
            problem = f"{field}: {first['msg'].lower()}"
        except UnicodeEncodeError as error:
            problem = f"prompt: character {error.start + 1} is half of a surrogate pair, which is not valid text"
        except ValueError as error:
            problem = str(error)
        else:
            lines.append(line)
            continue
        raise SettingsError(
            f'prompt file {file}, line {number}: {problem}; write each line like {{"prompt": "…", "max_tokens": 32}}'
        )
    if not lines:
        raise SettingsError(f"prompt file {file} contains no prompt: write one JSON object per line")
    return lines
