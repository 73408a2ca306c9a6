"""Provides the prompts: seeded excerpts of the bundled public-domain text, or lines of a JSONL file."""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from loadgen.base.errors import SettingsError
from loadgen.base.proposals import listed, near
from loadgen.dataset.run_info import PromptInfo
from loadgen.scenario.prompts import Fixed, Lengths, Prompts, Tokens, Uniform

CHARACTERS_PER_TOKEN = 4
"""Assumed length of a token of English text; only a server's tokenizer knows the true count."""

HEAD_TOKENS = 8
"""Length of the head that makes a prompt unique; a prompt that has less room has a shorter one."""

# common words of three letters: with a space, each is one token of the usual vocabularies
_TEXT_OF_WORDS = (
    "act add age ago air all and any are art ask bad bed big bit box boy but buy can car cut day did "
    "eat end eye far few for get god got had has her him his hit hot how its job key kid law lay led "
    "let lie lot low man may men met new not now off old one our out "
)
_WORDS = [_TEXT_OF_WORDS[start : start + 4] for start in range(0, len(_TEXT_OF_WORDS), 4)]
_PAIRS = [first + second for second in _WORDS for first in _WORDS]

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


_KEYS = ", ".join(_Line.model_fields)
_MISSPELLED = 0.85
"""A key as similar as this is a misspelling and not a key of somebody's data set, such as `output_tokens`."""


class PromptSource:
    """The prompt of every arrival, a pure function of settings, seed, run and the arrival's number.

    Args:
        settings: Lengths, or a JSONL file with one `{"prompt": …, "max_tokens": …}` per line.
        count: Number of arrivals.
        seed: Seed of all draws. Lengths, excerpts, shared prefix and order of a file depend on it alone.
        run_id: The run, for heads that are unique per run.

    Raises:
        SettingsError: the file cannot be read or a line is malformed; the message names the line.
    """

    def __init__(self, settings: Prompts, count: int, seed: int, run_id: str = "") -> None:
        random = np.random.default_rng(seed)
        self._settings, self._seed = settings, seed
        self._max_tokens = draw(settings.output_tokens, count, random)
        if settings.file is None:
            self._lines: Sequence[_Line] = ()
            self._text = bundled_text()
            self._input_tokens = draw(settings.input_tokens, count, random)
            self._picks = random.integers(0, len(self._text), size=count)
            # a generator of its own: another shared prefix changes neither lengths nor excerpts
            self._prefix_start = int(np.random.default_rng((seed, 1)).integers(0, len(self._text)))
            self.distinct = _distinct(self._input_tokens, settings.shared_prefix)
        else:
            self._lines = read_jsonl(settings.file)
            self._picks, self.distinct = _order(self._lines, count, random)
        self._head = Head(self._key(run_id))

    distinct: int
    """Number of different prompts. From a file they come first, so every later prompt repeats an earlier one."""

    def info(self) -> PromptInfo:
        """Return what `run.json` says about the prompts; those of a file are sent as they are, without a head."""
        if self._lines:
            return PromptInfo(distinct=self.distinct)
        return PromptInfo(distinct=self.distinct, head_tokens=HEAD_TOKENS, head_key=self._head.key)

    def __len__(self) -> int:
        return len(self._max_tokens)

    def of_run(self, run_id: str) -> "PromptSource":
        """Return the prompts of a run: the same lengths and excerpts, with the heads of that run."""
        prompts = copy.copy(self)
        prompts._head = Head(self._key(run_id))
        return prompts

    def __getitem__(self, number: int) -> Prompt:
        pick = int(self._picks[number])
        max_tokens = int(self._max_tokens[number])
        if self._lines:
            line = self._lines[pick]
            tokens = line.input_tokens or max(1, len(line.prompt) // CHARACTERS_PER_TOKEN)
            return Prompt(text=line.prompt, input_tokens=tokens, max_tokens=line.max_tokens or max_tokens)
        tokens = int(self._input_tokens[number])
        shared = int(tokens * self._settings.shared_prefix)
        head = min(HEAD_TOKENS, tokens - shared)
        text = (
            self._excerpt(self._prefix_start, shared)
            + self._head.text(number, head)
            + self._excerpt(pick, tokens - shared - head)
        )
        return Prompt(text=text, input_tokens=tokens, max_tokens=max_tokens)

    def _key(self, run_id: str) -> str:
        return run_id if self._settings.unique_per == "run" else f"seed {self._seed}"

    def _excerpt(self, start: int, tokens: int) -> str:
        length = tokens * CHARACTERS_PER_TOKEN
        excerpt = self._text[start : start + length]
        while len(excerpt) < length:
            excerpt += self._text[: length - len(excerpt)]
        return excerpt


class Head:
    """The words that make the prompt of each request unique, a function of a key and the request's number.

    The words are the digits of (a · number + b) mod 64⁸, the least significant first, where the odd number a and b
    depend on the key. The first t words differ between any 64ᵗ consecutive requests, and heads of two keys hardly
    ever coincide.
    """

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256(key.encode()).digest()
        self.key = key
        self._factor = int.from_bytes(digest[:8]) | 1
        self._offset = int.from_bytes(digest[8:16])

    def text(self, number: int, tokens: int) -> str:
        """Return the first `tokens` words of the head of a request, each with a space."""
        value = self._factor * number + self._offset
        words = "".join([_PAIRS[(value >> place) & 4095] for place in (0, 12, 24, 36)])
        return words[: tokens * CHARACTERS_PER_TOKEN]


def _distinct(input_tokens: Ints, shared_prefix: float) -> int:
    """Return the number of different prompts; only prompts with almost no room for a head repeat."""
    count = len(input_tokens)
    shared = (input_tokens * shared_prefix).astype(np.int64)
    heads = len(_WORDS) ** np.minimum(HEAD_TOKENS, input_tokens - shared)
    short = np.flatnonzero(heads < count)
    if not len(short):
        return count
    # the same length and the same head: a position below `heads`, and so below `count`
    same = input_tokens[short] * count + short % heads[short]
    return count - len(short) + len(np.unique(same))


def _order(lines: Sequence[_Line], count: int, random: np.random.Generator) -> tuple[Ints, int]:
    """Return which line each arrival uses, and the number of different prompts among them.

    Every pass uses each line once, in random order. In the first pass a line whose prompt is that of an earlier one
    comes last.
    """
    passes = -(-count // len(lines))
    picks = random.permuted(np.tile(np.arange(len(lines)), (passes, 1)), axis=1)
    first: dict[str, int] = {}
    repeated = np.array([first.setdefault(line.prompt, number) != number for number, line in enumerate(lines)])
    picks[0] = picks[0][np.argsort(repeated[picks[0]], kind="stable")]
    return picks.ravel()[:count], min(count, len(first))


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


def _check_keys(line: object) -> None:
    """Refuse a misspelled key; other keys that are not ours, which a data set may have, are ignored.

    Raises:
        ValueError: naming the key that was probably meant.
    """
    if not isinstance(line, dict):
        return
    absent = [name for name in _Line.model_fields if name not in line]
    for key in line:
        if key not in _Line.model_fields and (close := near(key, absent, cutoff=_MISSPELLED)):
            raise ValueError(f"no such key {key[:64]!r} (did you mean {close[0]}?); the keys are {_KEYS}")
    if "prompt" not in line:
        raise ValueError(f"prompt: field required, and the line has only the keys {listed(line)}; the keys are {_KEYS}")


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
            parsed = json.loads(raw)
            _check_keys(parsed)
            line = _Line.model_validate(parsed)
            if not line.prompt:
                raise ValueError("the prompt is empty")
            line.prompt.encode()
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "line"
            problem = f"{field}: {first['msg'].lower()}"
        except UnicodeEncodeError as error:
            problem = f"prompt: character {error.start + 1} is half of a surrogate pair, which is not valid text"
        except RecursionError:
            problem = "its JSON is nested too deeply"
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
