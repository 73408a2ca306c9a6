"""Emulates a tokenizer, deterministically and without a vocabulary file.

A token is a run of at most six letters or digits, or one punctuation mark. English prose has about 1.3 tokens per word,
as with the tokenizers of current 8B models. Output tokens are words of a fixed list, selected by the prompt and the
position, so the same prompt always gets the same answer.

Only the standard library is imported: the same file runs inside the server's isolated Python process.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

VOCABULARY_SIZE = 128_256
PIECE_CHARACTERS = 6

_PIECE = re.compile(rf"[^\W_]{{1,{PIECE_CHARACTERS}}}|[^\w\s]|_")
_PROSE = (
    "the river runs past the old mill and under a stone bridge where children wait for boats made of bark and "
    "paper while the evening light turns each window of the town to gold then slowly to red before the lamps are "
    "lit and people walk home with bread wine and quiet talk about rain harvest letters from far away cities new "
    "roads across hills music heard once in spring and what may come after winter when snow has gone from every "
    "field garden roof and small green things begin again without hurry as they always did long ago"
)
_WORDS = _PROSE.split()


def encode(text: str) -> list[int]:
    """Return the token ids of a text; an empty text is one token, like a beginning-of-text token."""
    return [zlib.crc32(piece.encode()) % VOCABULARY_SIZE for piece in _PIECE.findall(text)] or [0]


def answer_seed(prompt_ids: Iterable[int], seed: int = 0) -> int:
    """Return the seed that selects the words of the answer to a prompt."""
    return zlib.crc32(repr((list(prompt_ids), seed)).encode())


def answer_token(seed: int, index: int) -> int:
    """Return the token id at a position of an answer of any length."""
    # Knuth's multiplicative hash gives adjacent positions unrelated words.
    return (seed + index * 2_654_435_761) % VOCABULARY_SIZE


def decode(ids: Iterable[int]) -> str:
    """Return the text of output tokens: each is a word after a space, so that deltas join to the whole text."""
    return "".join(" " + _WORDS[i % len(_WORDS)] for i in ids)
