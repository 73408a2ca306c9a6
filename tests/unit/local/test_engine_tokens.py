"""The emulated tokenizer is deterministic and has about as many tokens as a real one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.local.engine.tokens import VOCABULARY_SIZE, answer_seed, answer_token, decode, encode


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("   ", 1),
        ("the quick fox", 3),
        ("wonderful", 2),  # wonder + ful
        ("yes, no.", 4),
        ("snake_case", 3),
        ("Zürich", 1),
        ("東京は大きい", 1),
    ],
)
def test_pieces_are_six_letters_and_each_mark_counts(text, count):
    """An empty text is one token."""
    assert len(encode(text)) == count


def test_english_prose_has_about_thirteen_tokens_in_ten_words():
    """As with the tokenizers of current 8B models."""
    text = (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
        "foolishness, it was the epoch of belief, it was the epoch of incredulity"
    )
    assert len(encode(text)) / len(text.split()) == pytest.approx(1.3, abs=0.15)


@given(st.text())
def test_encoding_never_fails_and_stays_in_the_vocabulary(text):
    """For any text, deterministically."""
    ids = encode(text)
    assert ids
    assert all(0 <= i < VOCABULARY_SIZE for i in ids)
    assert encode(text) == ids


@given(st.lists(st.integers(0, VOCABULARY_SIZE - 1)), st.integers(0, 2**32))
def test_deltas_join_to_the_text_of_the_whole_answer(prompt, seed):
    """Each token is one word."""
    chosen = answer_seed(prompt, seed)
    ids = [answer_token(chosen, i) for i in range(20)]
    assert "".join(decode([i]) for i in ids) == decode(ids)
    assert len(decode(ids).split()) == 20


def test_the_same_prompt_gets_the_same_answer_and_another_prompt_another():
    """The seed changes the answer, too."""
    assert answer_seed(encode("one prompt")) == answer_seed(encode("one prompt"))
    assert answer_seed(encode("one prompt")) != answer_seed(encode("another"))
    assert answer_seed(encode("one prompt"), 1) != answer_seed(encode("one prompt"), 2)
