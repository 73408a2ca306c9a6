"""Prompts: seeded, of the declared length; a malformed file is refused with the line number."""

import json
from pathlib import Path

import numpy as np
import pytest

from loadgen.base.errors import SettingsError
from loadgen.load.prompts import PromptSource, bundled_text, draw
from loadgen.scenario.settings import Fixed, LogNormal, Prompts, Uniform

SETTINGS = Prompts(input_tokens=Uniform(32, 256), output_tokens=Uniform(16, 64))


def test_excerpts_have_the_declared_lengths() -> None:
    """A prompt of n tokens is 4·n characters of the bundled text, n within the declared bounds, both ends reached."""
    source = PromptSource(SETTINGS, 5000, seed=1)
    prompts = [source[i] for i in range(5000)]
    assert all(len(p.text) == 4 * p.input_tokens for p in prompts)
    assert {min(p.input_tokens for p in prompts), max(p.input_tokens for p in prompts)} == {32, 256}
    assert {min(p.max_tokens for p in prompts), max(p.max_tokens for p in prompts)} == {16, 64}
    twice = bundled_text() * 2
    assert all(p.text in twice for p in prompts[:50])


def test_prompts_differ_at_their_start() -> None:
    """Hardly any two prompts share their first 64 characters: the server's prefix cache is not what is measured."""
    source = PromptSource(SETTINGS, 2000, seed=1)
    starts = {source[i].text[:64] for i in range(2000)}
    assert len(starts) > 1900


def test_same_seed_same_prompts() -> None:
    """The prompt of an arrival depends on nothing but settings, seed and number."""
    first, again, other = (PromptSource(SETTINGS, 10, seed=s) for s in (3, 3, 4))
    assert [first[i] for i in range(10)] == [again[i] for i in range(10)]
    assert [first[i] for i in range(10)] != [other[i] for i in range(10)]


def test_a_prompt_longer_than_the_text() -> None:
    """An excerpt longer than the bundled text repeats it."""
    tokens = len(bundled_text())
    prompt = PromptSource(Prompts(input_tokens=Fixed(tokens)), 1, seed=1)[0]
    assert len(prompt.text) == 4 * tokens


def test_log_normal_lengths() -> None:
    """Log-normal lengths have the declared median and stay inside their bounds."""
    lengths = draw(LogNormal(median=100, sigma=0.8, low=10, high=1000), 20_000, np.random.default_rng(1))
    assert np.median(lengths) == pytest.approx(100, rel=0.05)
    assert lengths.min() >= 10
    assert lengths.max() <= 1000


def test_own_file(tmp_path: Path) -> None:
    """A JSONL file provides the prompts; its max_tokens takes precedence over the declared lengths."""
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Why is the sky blue?", "max_tokens": 7}\n\n{"prompt": "Hello", "input_tokens": 3}\n')
    source = PromptSource(Prompts(file=file, output_tokens=Fixed(50)), 100, seed=1)
    seen = {(source[i].text, source[i].input_tokens, source[i].max_tokens) for i in range(100)}
    assert seen == {("Why is the sky blue?", 5, 7), ("Hello", 3, 50)}


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    """A prompt may contain other line boundaries of Python; a byte order mark is ignored."""
    prompts = [f"a{end}b" for end in "\u2028\u2029\x85\u00e9"]
    lines = [json.dumps({"prompt": prompt}, ensure_ascii=False) for prompt in prompts]
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    source = PromptSource(Prompts(file=file), 100, seed=1)
    assert {source[i].text for i in range(100)} == set(prompts)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"prompt": "a"}\n{"prompt": }\n', "line 2: Expecting value"),
        ('{"prompt": "a"}\n\n{"text": "a"}\n', "line 3: prompt: field required"),
        ('{"prompt": "a", "max_tokens": 0}\n', "line 1: max_tokens: input should be greater than 0"),
        ('{"prompt": "a", "max_tokens": 3000000000}\n', "line 1: max_tokens: input should be less than or equal to"),
        ('{"prompt": "a", "input_tokens": 3000000000}\n', "line 1: input_tokens: input should be less than or equal"),
        ('{"prompt": "a"}\n{"prompt": "b\\ud800"}\n', "line 2: prompt: character 2 is half of a surrogate pair"),
        ('["a"]\n', "line 1"),
        ('{"prompt": ""}\n', "line 1: the prompt is empty"),
        ("\n\n", "contains no prompt"),
    ],
)
def test_malformed_file(tmp_path: Path, content: str, says: str) -> None:
    """A malformed line is refused with its number and what a line must look like."""
    file = tmp_path / "prompts.jsonl"
    file.write_text(content)
    with pytest.raises(SettingsError, match="prompt file") as caught:
        PromptSource(Prompts(file=file), 1, seed=1)
    assert says in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(SettingsError, match=r"nowhere\.jsonl cannot be read"):
        PromptSource(Prompts(file=tmp_path / "nowhere.jsonl"), 1, seed=1)
