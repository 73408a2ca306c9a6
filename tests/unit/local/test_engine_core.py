"""The emulated engine under a virtual clock: exact times, limits, and laws that hold for any load."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.local.engine.config import EngineConfig, StepModel
from loadgen.local.engine.core import Engine, InvalidSequenceError, QueueFullError, Sequence, Token, play

MS = 1_000_000
# 10 ms a step, 1 ms for each generating sequence, nothing for context, 0.1 ms for each prompt token.
STEP = StepModel(base_s=0.010, per_sequence_s=0.001, per_context_token_s=0.0, per_prefill_token_s=0.0001)


def config(**changes) -> EngineConfig:
    values = {
        "step": STEP,
        "max_batch_size": 4,
        "max_num_tokens": 100,
        "kv_blocks": 100,
        "tokens_per_block": 10,
        "max_seq_len": 1000,
    }
    return EngineConfig(**{**values, **changes})


def sequence(name: str, prompt: int, output: int, at_ms: float = 0) -> Sequence:
    return Sequence(key=name, prompt_tokens=prompt, output_tokens=output, arrival_ns=round(at_ms * MS))


def times_ms(tokens: list[Token], name: str) -> list[float]:
    return [t.at_ns / MS for t in tokens if t.sequence.key == name]


def test_one_sequence_gets_its_tokens_at_exact_times():
    """The first token ends the prefill; every other token takes one decode step."""
    tokens = list(play(Engine(config()), [sequence("a", prompt=20, output=4, at_ms=5)]))
    # prefill: 10 + 20·0.1 = 12 ms; then 10 + 1 = 11 ms a step
    assert times_ms(tokens, "a") == [17, 28, 39, 50]
    assert [t.final for t in tokens] == [False, False, False, True]


def test_a_second_sequence_joins_the_running_batch_at_the_next_iteration():
    """Its prefill prolongs that iteration for both."""
    tokens = list(play(Engine(config()), [sequence("a", 20, 4), sequence("b", 30, 2, at_ms=15)]))
    # a: 12; [12, 23] is under way when b arrives at 15; [23, 37] = 10 + 1 + 30·0.1; then both: 10 + 2
    assert times_ms(tokens, "a") == [12, 23, 37, 49]
    assert times_ms(tokens, "b") == [37, 49]


def test_context_makes_steps_longer():
    """The context grows by one token per step."""
    step = StepModel(base_s=0.010, per_sequence_s=0.0, per_context_token_s=0.0001, per_prefill_token_s=0.0)
    tokens = list(play(Engine(config(step=step)), [sequence("a", 20, 3)]))
    # prefill 10; then 10 + 21·0.1 and 10 + 22·0.1: the context grows by the tokens generated
    assert times_ms(tokens, "a") == pytest.approx([10, 22.1, 34.3])


def test_prefill_cost_has_a_quadratic_part():
    """It counts the pairs of attention."""
    step = StepModel(
        base_s=0.010, per_sequence_s=0.0, per_context_token_s=0.0, per_prefill_token_s=0.0, per_prefill_pair_s=0.001
    )
    tokens = list(play(Engine(config(step=step)), [sequence("a", 4, 1)]))
    # each prompt token attends to itself and those before it: 1 + 2 + 3 + 4 = 10 pairs
    assert times_ms(tokens, "a") == [20]


def test_the_quadratic_part_does_not_depend_on_the_chunks():
    """Chunked prefill costs only the base of its additional iterations."""
    step = StepModel(
        base_s=0.010, per_sequence_s=0.0, per_context_token_s=0.0, per_prefill_token_s=0.0, per_prefill_pair_s=1e-6
    )
    whole = list(play(Engine(config(step=step, max_num_tokens=100)), [sequence("a", 90, 1)]))
    cut = list(play(Engine(config(step=step, max_num_tokens=30)), [sequence("a", 90, 1)]))
    assert cut[0].at_ns - whole[0].at_ns == 20 * MS  # two iterations more, the same work


def test_a_long_prompt_is_processed_in_chunks_of_whole_blocks():
    """The budget of 35 tokens has three blocks of 10."""
    engine = Engine(config(max_num_tokens=35))
    engine.submit(sequence("a", 75, 1))
    chunks = []
    while (iteration := engine.start()) is not None:
        chunks.append(iteration.prefill_tokens)
        engine.finish(iteration)
    assert chunks == [30, 30, 15]


def test_generating_sequences_come_before_prefill_in_the_token_budget():
    """Each generating sequence takes one token of the budget."""
    engine = Engine(config(max_num_tokens=31))
    engine.submit(sequence("a", 20, 9))
    engine.finish(engine.start())
    engine.submit(sequence("b", 60, 1, at_ms=1))
    iteration = engine.start()
    assert [s.key for s in iteration.generating] == ["a"]
    assert iteration.prefill_tokens == 30  # 31 less one for a, in whole blocks
    assert times_ms(engine.finish(iteration), "b") == []


def test_the_batch_never_exceeds_its_limit_and_the_next_starts_when_one_ends():
    """With a batch of one, sequences run one after the other."""
    tokens = list(play(Engine(config(max_batch_size=1)), [sequence("a", 10, 2), sequence("b", 10, 2)]))
    # a: 11, 22; b is admitted at 22: 33, 44
    assert times_ms(tokens, "b") == [33, 44]


def test_a_sequence_is_admitted_only_when_the_blocks_for_all_of_it_are_free():
    """Blocks for prompt and output are reserved at admission."""
    # a takes 2 of 3 blocks (10 + 10 tokens), b needs 2: it waits until a has ended though the batch has room
    engine = Engine(config(kv_blocks=3, max_seq_len=30))
    tokens = list(play(engine, [sequence("a", 10, 10), sequence("b", 10, 10)]))
    assert times_ms(tokens, "b")[0] == times_ms(tokens, "a")[-1] + 11
    assert engine.free_blocks == 3


def test_a_partly_used_block_counts_as_a_whole():
    """The count of blocks is rounded up."""
    # 11 + 10 tokens take 3 blocks of 10, so two such sequences do not fit into 5
    engine = Engine(config(kv_blocks=5, max_seq_len=50))
    engine.submit(sequence("a", 11, 10))
    engine.submit(sequence("b", 11, 10))
    engine.finish(engine.start())
    assert (engine.free_blocks, engine.running, engine.waiting) == (2, 1, 1)


def test_an_iteration_counts_the_sequences_that_wait():
    """Admitted sequences without a chunk wait as well."""
    engine = Engine(config(max_batch_size=3, max_num_tokens=25))
    for name in ("a", "b", "c", "d"):
        engine.submit(sequence(name, 20, 5))
    engine.submit(sequence("late", 20, 5, at_ms=5))
    # a fits the budget of 25 tokens whole; b and c are admitted and get no chunk; d has no place; late is not there
    assert engine.start().waiting == 3


def test_tokens_of_one_iteration_come_oldest_sequence_first():
    """Both sequences have a token at the same time."""
    tokens = list(play(Engine(config()), [sequence("a", 10, 3), sequence("b", 10, 3, at_ms=1)]))
    both = [t.sequence.key for t in tokens if t.at_ns == tokens[3].at_ns]
    assert both == ["a", "b"]


def test_first_come_first_served_even_when_a_later_one_would_fit():
    """A large sequence blocks the smaller ones after it."""
    engine = Engine(config(kv_blocks=4, max_seq_len=40))
    tokens = list(play(engine, [sequence("a", 10, 10), sequence("big", 20, 20), sequence("small", 5, 5)]))
    assert times_ms(tokens, "small")[0] > times_ms(tokens, "big")[0]


def test_an_idle_engine_starts_at_the_arrival_and_a_busy_one_at_the_end_of_the_step():
    """The engine is idle for almost a second."""
    tokens = list(play(Engine(config()), [sequence("a", 10, 1), sequence("b", 10, 1, at_ms=1000)]))
    assert times_ms(tokens, "b") == [1011]


def test_times_do_not_drift_over_many_steps():
    """Integer nanoseconds add up exactly."""
    tokens = list(play(Engine(config()), [sequence("a", 10, 900)]))
    assert times_ms(tokens, "a")[-1] == 11 + 899 * 11


def test_performance_times_of_a_sequence_that_had_to_wait():
    """Arrival, schedule, first and last token."""
    a, b = sequence("a", 10, 3), sequence("b", 10, 2, at_ms=5)
    list(play(Engine(config(max_batch_size=1)), [a, b]))
    assert [b.arrival_ns, b.first_scheduled_ns, b.first_token_ns, b.last_token_ns] == [
        5 * MS,
        33 * MS,
        44 * MS,
        55 * MS,
    ]


def test_a_cancelled_sequence_yields_no_more_tokens_and_frees_its_slot():
    """Even in the running iteration; a second cancellation has no effect."""
    engine = Engine(config(max_batch_size=1, kv_blocks=4, max_seq_len=40))
    a, b = sequence("a", 10, 20), sequence("b", 10, 1)
    engine.submit(a)
    engine.submit(b)
    engine.finish(engine.start())
    iteration = engine.start()
    assert engine.cancel(a)
    assert engine.finish(iteration) == []
    assert engine.free_blocks == 4
    assert [t.sequence.key for t in engine.finish(engine.start())] == ["b"]
    assert not engine.cancel(a)
    assert not engine.cancel(b)


@pytest.mark.parametrize("after_iterations", [0, 1, 2, 5])
def test_a_cancelled_sequence_leaves_no_blocks_behind(after_iterations):
    """In prefill as well as in generation."""
    engine = Engine(config(max_num_tokens=20))
    a = sequence("a", 30, 20)
    engine.submit(a)
    for _ in range(after_iterations):
        engine.finish(engine.start())
    assert engine.cancel(a)
    assert engine.start() is None
    assert engine.free_blocks == 100


def test_a_full_queue_refuses_with_the_message_of_the_executor():
    """The text is TensorRT-LLM's."""
    engine = Engine(config(max_queue_size=1))
    engine.submit(sequence("a", 10, 1))
    with pytest.raises(QueueFullError, match=r"Maximum queue size of 1 has been reached, please try again later"):
        engine.submit(sequence("b", 10, 1))


@pytest.mark.parametrize(
    ("prompt", "output", "message"),
    [
        (1000, 1, r"Prompt length \(1000\) exceeds maximum input length \(999\)"),
        (0, 1, "empty"),
        (1, 0, "MaxNewTokens"),
    ],
)
def test_a_sequence_that_can_never_run_is_refused(prompt, output, message):
    """The texts are TensorRT-LLM's."""
    with pytest.raises(InvalidSequenceError, match=message):
        Engine(config()).submit(sequence("a", prompt, output))


def test_an_output_beyond_the_longest_sequence_is_cut():
    """20 of 30 tokens are the prompt."""
    tokens = list(play(Engine(config(max_seq_len=30)), [sequence("a", 20, 50)]))
    assert len(tokens) == 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_batch_size": 0},
        {"max_num_tokens": 13},
        {"max_seq_len": 1001},
        {"max_queue_size": -1},
    ],
)
def test_a_configuration_that_could_stall_is_refused(wrong):
    """The message names the setting."""
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        config(**wrong)


def test_a_step_without_duration_is_refused():
    """Such an engine would never reach the end of an iteration."""
    with pytest.raises(ValueError, match="base_s"):
        StepModel(base_s=0, per_sequence_s=0, per_context_token_s=0, per_prefill_token_s=0)


@st.composite
def loads(draw) -> tuple[EngineConfig, list[Sequence]]:
    block = draw(st.integers(1, 16))
    batch = draw(st.integers(1, 6))
    blocks = draw(st.integers(4, 60))
    longest = draw(st.integers(2, blocks * block))
    engine_config = config(
        max_batch_size=batch,
        tokens_per_block=block,
        kv_blocks=blocks,
        max_seq_len=longest,
        max_num_tokens=batch + block + draw(st.integers(0, 40)),
    )
    clock, out = 0, []
    for number in range(draw(st.integers(1, 12))):
        clock += draw(st.integers(0, 40)) * MS
        prompt = draw(st.integers(1, longest - 1))
        output = draw(st.integers(1, 20))
        out.append(Sequence(key=number, prompt_tokens=prompt, output_tokens=output, arrival_ns=clock))
    return engine_config, out


@given(loads())
@settings(max_examples=150, deadline=None)
def test_every_sequence_gets_all_its_tokens_in_order_and_all_blocks_come_back(load):
    """For any load and configuration."""
    engine_config, sequences = load
    engine = Engine(engine_config)
    counts = [min(s.output_tokens, engine_config.max_seq_len - s.prompt_tokens) for s in sequences]
    tokens = list(play(engine, sequences))
    for s, count in zip(sequences, counts, strict=True):
        own = [t for t in tokens if t.sequence is s]
        assert [t.index for t in own] == list(range(count))
        assert [t.final for t in own] == [False] * (count - 1) + [True]
        assert all(later.at_ns - earlier.at_ns >= 10 * MS for earlier, later in pairwise(own))
        assert s.arrival_ns <= s.first_scheduled_ns < s.first_token_ns <= s.last_token_ns
    assert engine.free_blocks == engine_config.kv_blocks
    assert (engine.running, engine.waiting) == (0, 0)


@given(loads())
@settings(max_examples=150, deadline=None)
def test_no_iteration_breaks_a_limit_or_the_order_of_arrival(load):
    """For any load and configuration."""
    engine_config, sequences = load
    engine = Engine(engine_config)
    for s in sequences:
        engine.submit(s)
    end_ns = 0
    while (iteration := engine.start()) is not None:
        assert iteration.start_ns >= end_ns
        end_ns = iteration.end_ns
        scheduled = len(iteration.generating) + len(iteration.prefill)
        assert 1 <= scheduled <= engine_config.max_batch_size
        assert len(iteration.generating) + iteration.prefill_tokens <= engine_config.max_num_tokens
        assert 0 <= engine.free_blocks <= engine_config.kv_blocks
        assert all(s.arrival_ns <= iteration.start_ns for s, _ in iteration.prefill)
        engine.finish(iteration)
    started = [s.first_scheduled_ns for s in sequences]
    assert started == sorted(started)


@given(loads(), st.data())
@settings(max_examples=100, deadline=None)
def test_cancelling_at_any_time_frees_all_blocks(load, data):
    """The other sequences get all their tokens."""
    engine_config, sequences = load
    engine = Engine(engine_config)
    for s in sequences:
        engine.submit(s)
    victims = data.draw(st.lists(st.sampled_from(sequences), unique_by=id))
    while (iteration := engine.start()) is not None:
        if victims:
            engine.cancel(victims.pop())
        assert not any(t.sequence.cancelled for t in engine.finish(iteration))
    assert engine.free_blocks == engine_config.kv_blocks
    assert all(s.cancelled or s.generated == s.output_tokens for s in sequences)
