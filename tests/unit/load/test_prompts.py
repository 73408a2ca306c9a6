"""Prompts: seeded, of the declared length; a malformed file is refused with the line number."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.base.errors import SettingsError
from loadgen.dataset.run_info import PromptInfo
from loadgen.load.prompts import Prompt, PromptSource, bundled_text, draw
from loadgen.scenario.prompts import Fixed, LogNormal, Prompts, Uniform

HEAD = 8 * 4
"""Characters of the head that makes a prompt unique."""
SETTINGS = Prompts(input_tokens=Uniform(32, 256), output_tokens=Uniform(16, 64))


def texts(source: PromptSource) -> list[str]:
    """The texts of all prompts."""
    return [prompt.text for prompt in prompts_of(source)]


def prompts_of(source: PromptSource) -> list[Prompt]:
    """All prompts."""
    return [source[number] for number in range(len(source))]


def test_excerpts_have_the_declared_lengths() -> None:
    """A prompt of n tokens is 4·n characters, an excerpt after a head of eight tokens; both bounds of n are reached."""
    source = PromptSource(SETTINGS, 5000, seed=1)
    prompts = [source[i] for i in range(5000)]
    assert all(len(p.text) == 4 * p.input_tokens for p in prompts)
    assert {min(p.input_tokens for p in prompts), max(p.input_tokens for p in prompts)} == {32, 256}
    assert {min(p.max_tokens for p in prompts), max(p.max_tokens for p in prompts)} == {16, 64}
    twice = bundled_text() * 2
    assert all(p.text[HEAD:] in twice for p in prompts[:50])


def test_prompts_differ_at_their_start() -> None:
    """No two prompts share their first 16 tokens, the shortest block of a prefix cache."""
    source = PromptSource(SETTINGS, 20_000, seed=1)
    assert len({source[i].text[: 16 * 4] for i in range(20_000)}) == source.distinct == 20_000


def test_a_second_run_repeats_no_prompt() -> None:
    """The heads of two runs differ; lengths and excerpts are the same, so that the runs stay comparable."""
    first, second = (texts(PromptSource(SETTINGS, 5000, seed=1, run_id=run)) for run in ("a", "b"))
    assert not set(first) & set(second)
    assert [text[HEAD:] for text in first] == [text[HEAD:] for text in second]
    source = PromptSource(SETTINGS, 5000, seed=1)
    assert texts(source.of_run("b")) == second
    assert source.of_run("b").info() == PromptInfo(distinct=5000, head_tokens=8, head_key="b")


def test_prompts_that_are_unique_per_seed() -> None:
    """With `unique_per="seed"` a second run sends the same prompts, and another seed sends others."""
    per_seed = SETTINGS.model_copy(update={"unique_per": "seed"})
    one, two, other = (PromptSource(per_seed, 1000, seed, run) for seed, run in ((1, "a"), (1, "b"), (2, "a")))
    assert texts(one) == texts(two)
    assert not set(texts(one)) & set(texts(other))
    assert len(set(texts(one))) == 1000
    assert one.info().head_key == "seed 1"


def test_a_shared_prefix() -> None:
    """Half of each prompt is shared, depends on the seed alone, and changes neither lengths nor uniqueness."""
    half = SETTINGS.model_copy(update={"shared_prefix": 0.5})
    prompts, others, alone = (
        prompts_of(PromptSource(chosen, 2000, 1, run)) for chosen, run in ((half, "a"), (half, "b"), (SETTINGS, "a"))
    )
    longest = max(prompts, key=lambda p: p.input_tokens).text[: 256 // 2 * 4]
    assert all(p.text.startswith(longest[: p.input_tokens // 2 * 4]) for p in prompts + others)
    assert len({p.text for p in prompts}) == 2000
    assert not {p.text for p in prompts} & {p.text for p in others}
    assert [(len(p.text), p.max_tokens) for p in prompts] == [(len(p.text), p.max_tokens) for p in alone]


@pytest.mark.parametrize(
    ("chosen", "different"),
    [
        (Prompts(input_tokens=Fixed(1)), 64),  # the words of a head
        (Prompts(input_tokens=Fixed(2)), 64**2),
        (Prompts(input_tokens=Fixed(10), shared_prefix=0.9), 64),
        (Prompts(input_tokens=Fixed(10), shared_prefix=1.0), 1),
        (Prompts(input_tokens=Uniform(1, 20), shared_prefix=0.9), None),
    ],
)
def test_prompts_without_room_for_a_head_repeat(chosen: Prompts, different: int | None) -> None:
    """The number of different prompts is known before the load."""
    source = PromptSource(chosen, 5000, seed=1)
    assert source.distinct == len({source[i].text for i in range(5000)})
    assert different in (None, source.distinct)


@given(count=st.integers(1, 300), lines=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_lines_of_a_file_repeat_only_when_all_were_used(count: int, lines: list[str]) -> None:
    """Each line is used once in every pass, and different prompts come first: afterwards every prompt repeats one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompts.jsonl"
        file.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in lines))
        source = PromptSource(Prompts(file=file), count, seed=1)
    sent = texts(source)
    assert source.distinct == min(count, len(set(lines)))
    assert len(set(sent[: source.distinct])) == source.distinct
    for start in range(0, count - len(lines) + 1, len(lines)):
        assert sorted(sent[start : start + len(lines)]) == sorted(lines)


def test_the_order_of_a_file_is_seeded(tmp_path: Path) -> None:
    """A run sends the lines in the same order as the run before; another seed gives another order."""
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": f"prompt {n}"}) for n in range(50)))
    one, again, other = (
        PromptSource(Prompts(file=file), 100, seed, run) for seed, run in ((1, "a"), (1, "b"), (2, "a"))
    )
    assert texts(one) == texts(again) != texts(other)
    assert one.info() == PromptInfo(distinct=50)


def test_a_shared_prefix_of_a_file_is_refused(tmp_path: Path) -> None:
    """Prompts of a file are sent as they are."""
    with pytest.raises(SettingsError, match="write the prefix into the prompts file"):
        Prompts(file=tmp_path / "prompts.jsonl", shared_prefix=0.5)


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
        ('{"prompt": "a"}\n{"prompt": "a", "more": ' + "[" * 100_000 + "}\n", "line 2: its JSON is nested too deeply"),
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
