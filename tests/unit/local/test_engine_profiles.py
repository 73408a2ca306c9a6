"""The engine profiles against the numbers that they were made from."""

import dataclasses
import random

import pytest

from loadgen.base.errors import SettingsError
from loadgen.local.engine.config import EngineConfig, EngineProfile
from loadgen.local.engine.core import Engine, Sequence
from loadgen.local.engine.profile import load_profile, profile_names

NAMES = ["a100-fp16-llama-3.1-8b", "demo", "h100-fp8-llama-3.1-8b", "h200-bf16-llama-3.1-8b"]


def max_load_tokens_per_s(engine: EngineConfig, input_tokens: int, output_tokens: int) -> float:
    """Return the output rate with the engine kept full, measured after the first full batch has turned over."""
    blocks = -(-(input_tokens + output_tokens) // engine.tokens_per_block)
    batch = min(engine.max_batch_size, engine.kv_blocks // blocks)
    running = Engine(engine)
    for number in range(3 * batch):
        # The first batch has outputs of all lengths, so that prefill is spread evenly from the start.
        output = output_tokens if number >= batch else 1 + number * output_tokens // batch
        running.submit(Sequence(key=number, prompt_tokens=input_tokens, output_tokens=output, arrival_ns=0))
    count, begin_ns, end_ns = 0, None, 0
    while running.waiting and (iteration := running.start()) is not None:
        tokens = running.finish(iteration)
        if begin_ns is None:
            begin_ns = iteration.end_ns if running.waiting <= 3 * batch // 2 else None
            continue
        count, end_ns = count + len(tokens), iteration.end_ns
    return count / ((end_ns - begin_ns) / 1e9)


def published(name: str, input_tokens: int, output_tokens: int) -> tuple[EngineProfile, float]:
    profile = load_profile(name)
    rows = {(row.input_tokens, row.output_tokens): row.output_tokens_per_s for row in profile.published}
    return profile, rows[input_tokens, output_tokens]


@pytest.mark.parametrize(
    ("name", "tokens_per_s"), [("h100-fp8-llama-3.1-8b", 15_245), ("a100-fp16-llama-3.1-8b", 3_787)]
)
def test_the_profile_predicts_the_published_1000_1000_throughput_that_it_was_not_fitted_to(name, tokens_per_s):
    """Within 5 %."""
    profile, row = published(name, 1000, 1000)
    assert row == tokens_per_s
    assert max_load_tokens_per_s(profile.engine, 1000, 1000) == pytest.approx(tokens_per_s, rel=0.05)


@pytest.mark.parametrize("name", ["h100-fp8-llama-3.1-8b", "a100-fp16-llama-3.1-8b"])
@pytest.mark.parametrize("lengths", [(128, 128), (2048, 128), (5000, 500), (20000, 2000)])
def test_the_profile_follows_the_published_table_over_two_orders_of_length(name, lengths):
    """Within 10 %."""
    profile, tokens_per_s = published(name, *lengths)
    assert max_load_tokens_per_s(profile.engine, *lengths) == pytest.approx(tokens_per_s, rel=0.10)


def test_the_h200_profile_is_within_four_percent_of_every_measured_step():
    """16 decode steps."""
    profile = load_profile("h200-bf16-llama-3.1-8b")
    assert len(profile.measured) == 16
    for row in profile.measured:
        predicted_s = profile.engine.step.seconds(
            generating=row.batch, context_tokens=row.batch * row.context_tokens, prefill_tokens=0, prefill_pairs=0
        )
        assert predicted_s == pytest.approx(row.step_s, rel=0.04)


@pytest.mark.parametrize(("tokens", "measured_s"), [(1024, 0.0300), (2048, 0.0563), (4096, 0.1176)])
def test_the_h200_profile_is_within_one_percent_of_the_measured_prefill(tokens, measured_s):
    """Three prompt lengths."""
    step = load_profile("h200-bf16-llama-3.1-8b").engine.step
    pairs = tokens * (tokens + 1) // 2
    predicted_s = step.seconds(generating=0, context_tokens=0, prefill_tokens=tokens, prefill_pairs=pairs)
    assert predicted_s == pytest.approx(measured_s, rel=0.01)


def test_one_demo_replica_is_overloaded_at_the_peak_of_the_default_scenario_and_idles_in_the_trough():
    """Two replicas at 80 % carry the peak."""
    profile = load_profile("demo")
    # The front model's instances bound what is in flight: keep exactly as many requests in the engine.
    slots = dataclasses.replace(profile.engine, max_batch_size=profile.bls_instance_count)
    rng, engine = random.Random(1), Engine(slots)
    for number in range(600):
        prompt, output = rng.randint(32, 256), rng.randint(16, 64)
        engine.submit(Sequence(key=number, prompt_tokens=prompt, output_tokens=output, arrival_ns=0))
    last_ns, gaps_s, before = 0, [], 0
    while (iteration := engine.start()) is not None:
        gaps_s.append((iteration.end_ns - before) / 1e9)
        before = last_ns = iteration.end_ns
        engine.finish(iteration)
    per_replica_per_s = 600 / (last_ns / 1e9)
    assert per_replica_per_s == pytest.approx(5.4, rel=0.05)
    assert per_replica_per_s < 8 / 1.4
    assert 2 * per_replica_per_s * 0.8 > 8
    assert per_replica_per_s > 10 * 0.5
    assert max(gaps_s) < 0.1  # the token gap of the default SLO holds even in a full batch


def test_every_profile_of_the_package_loads_and_names_its_source():
    """The title says that the engine is emulated."""
    assert profile_names() == NAMES
    for name in NAMES:
        profile = load_profile(name)
        assert profile.name == name
        assert profile.title.startswith("Emulated")
        assert len(profile.source) > 100


def test_an_unknown_profile_is_refused_with_the_list():
    """The message names the profiles of the package."""
    with pytest.raises(SettingsError, match="no engine profile 'h300': choose one of a100-fp16"):
        load_profile("h300")


def test_a_profile_of_the_users_own_is_read_from_its_path(tmp_path):
    """A name with the suffix .yaml is a path."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ntitle: t\nsource: s\nbls_instance_count: 2\nengine:\n"
        "  step: {base_s: 0.01, per_sequence_s: 0, per_context_token_s: 0, per_prefill_token_s: 0}\n"
        "  max_batch_size: 2\n  max_num_tokens: 64\n  kv_blocks: 8\n  tokens_per_block: 16\n  max_seq_len: 100\n"
    )
    assert load_profile(path).engine.max_batch_size == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "cannot be read"),
        ("name: x", "is not valid: title: Field required"),
        ("- 1", "is not valid"),
    ],
)
def test_an_invalid_profile_is_refused_with_the_field(tmp_path, text, message):
    """Invalid YAML, a missing field and another type."""
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_profile(path)


def test_a_profile_with_a_misspelt_key_is_refused(tmp_path):
    """The message names the key."""
    source = (load_profile.__globals__["_FOLDER"] / "demo.yaml").read_text()
    path = tmp_path / "typo.yaml"
    path.write_text(source.replace("kv_blocks", "kv_block"))
    with pytest.raises(SettingsError, match=r"engine\.kv_block"):
        load_profile(path)


def test_a_missing_profile_file_is_reported(tmp_path):
    """The message has the path."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_profile(tmp_path / "nowhere.yaml")
