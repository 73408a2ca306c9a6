"""The sums of queue and compute time: lower bounds for open requests, exact for ended ones."""

from hypothesis import given
from hypothesis import strategies as st

from loadgen.local.engine.config import EngineConfig, StepModel
from loadgen.local.engine.core import Engine, Sequence
from support.charts import llmapi_fakes

account_module = llmapi_fakes.load("llmapi_account")
Account, Times = account_module.Account, account_module.Times
S = 1_000_000_000
MS = 1_000_000


def us(*seconds):
    return tuple(round(s * 1_000_000) for s in seconds)


def burst(account, running, waiting):
    """Open requests at 100 s; the running ones are scheduled at once and have a token 0.5 s later."""
    opened = [account.open(100 * S) for _ in range(running + waiting)]
    for request in opened[:running]:
        account.token(request, 100 * S + 510 * MS, Times(100 * S, 100 * S, 100 * S + 500 * MS, 0))
    return opened


def sums(account, now_s):
    account.book(now_s * S)
    return account.queue_us, account.compute_us


def test_both_sums_grow_while_no_request_has_ended():
    """Sums lag by 1 s and, for requests without a token, by the longest prefill of 0.5 s.

    At 110 s the queue time is 8 x 8.5 s, and the compute time 4 x 9 s, as the latest tokens are from 109.9 s. A second
    later they are 8 s and 4 s more.
    """
    account = Account()
    opened = burst(account, running=4, waiting=8)
    assert sums(account, 100) == (0, 0)
    for at_ns in (109 * S + 900 * MS, 110 * S + 900 * MS):
        for request in opened[:4]:
            account.token(request, at_ns, request.times)
        account.book(at_ns + 100 * MS)
        if at_ns < 110 * S:
            assert (account.queue_us, account.compute_us) == us(8 * 8.5, 4 * 9)
    assert (account.queue_us, account.compute_us) == us(8 * 9.5, 4 * 10)
    assert (account.running(111 * S), account.waiting(111 * S)) == (4, 8)


def test_compute_time_ends_with_the_latest_token():
    """A request without further tokens has no more compute time."""
    account = Account()
    burst(account, running=1, waiting=0)
    assert sums(account, 200) == us(0, 0.51)


def test_a_single_request_does_not_wait():
    """The only request of an idle engine counts as running, even before its first token."""
    account = Account()
    account.open(100 * S)
    assert sums(account, 160) == (0, 0)
    assert (account.running(160 * S), account.waiting(160 * S)) == (1, 0)


def test_the_engines_batch_size_accounts_for_a_long_prefill():
    """With two scheduled requests of three, one of them without a token, only the request from 105 s waits.

    Its queue time is 110 - 105 s, minus the lag of 1 s and the longest prefill of 0.5 s.
    """
    account = Account()
    burst(account, running=1, waiting=1)
    account.open(105 * S)
    account.engine_scheduled(2, 110 * S)
    assert account.waiting(110 * S) == 1
    assert sums(account, 110)[0] == us(3.5)[0]
    assert account.waiting(120 * S) == 2  # a batch size from ten seconds ago is outdated


def test_a_first_prefill_is_not_counted_as_queue_time():
    """Before any token and without a batch size of the engine, all requests may be in one batch that is warming up."""
    account = Account()
    burst(account, running=0, waiting=3)
    assert sums(account, 160) == (0, 0)
    assert account.waiting(160 * S) == 2


def test_a_sum_that_was_too_high_pauses_until_it_is_correct():
    """A request with a prefill of 30 s waited for 1 s, but 8.5 s are booked at 110 s; the sum never decreases."""
    account = Account()
    one, late = burst(account, running=1, waiting=1)
    assert sums(account, 110)[0] == us(8.5)[0]
    account.token(late, 131 * S, Times(100 * S, 101 * S, 131 * S, 132 * S))
    account.close(late, 132 * S)
    account.close(one, 132 * S)
    assert sums(account, 140)[0] == us(8.5)[0]
    for _ in range(2):
        more = account.open(200 * S)
        account.token(more, 206 * S, Times(200 * S, 205 * S, 206 * S, 206 * S))
        account.close(more, 206 * S)
    assert sums(account, 300)[0] == us(1 + 5 + 5)[0]


def test_a_cancelled_request_is_booked_until_its_end():
    """A request cancelled at 110 s has 10 s of queue time, or of compute time if it was scheduled at once."""
    for running, truth in ((0, us(10, 0)), (1, us(0, 10))):
        account = Account()
        (request,) = burst(account, running=running, waiting=1 - running)
        account.close(request, 110 * S)
        assert sums(account, 110) == truth


def test_without_times_of_the_engine_the_sums_are_lower_bounds():
    """With the first token at 105 s and the last one at 107 s, the compute time is at least 2 s."""
    account = Account()
    request = account.open(100 * S)
    assert account.token(request, 105 * S, Times()) == 5000
    account.token(request, 107 * S, Times())
    account.close(request, 107 * S)
    assert sums(account, 107) == us(0, 2)


ENGINE = EngineConfig(
    step=StepModel(base_s=0.02, per_sequence_s=0.001, per_context_token_s=1e-6, per_prefill_token_s=1e-4),
    max_batch_size=4,
    max_num_tokens=256,
    kv_blocks=40,
    tokens_per_block=32,
    max_seq_len=1024,
)
LOADS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(1, 300), st.integers(1, 120)), min_size=1, max_size=30
)  # gap in ms, prompt tokens, output tokens


@given(LOADS, st.integers(0, 40), st.booleans())
def test_the_sums_never_exceed_those_of_the_engine_and_are_finally_equal(load, delivery_ms, has_batch_sizes):
    """The law holds at any time, with late updates and with or without batch sizes.

    The engine runs four requests at once, and its prefills take less than 1 s.
    """
    arrival_ns, sequences = 100 * S, []
    for gap_ms, prompt_tokens, output_tokens in load:
        arrival_ns += gap_ms * MS
        sequences.append(
            Sequence(key=None, prompt_tokens=prompt_tokens, output_tokens=output_tokens, arrival_ns=arrival_ns)
        )
    engine, updates = Engine(ENGINE), [(s.arrival_ns, "arrival", s) for s in sequences]
    for sequence in sequences:
        engine.submit(sequence)
    while (iteration := engine.start()) is not None:
        delivered_ns = iteration.end_ns + delivery_ms * MS
        updates += [(delivered_ns, "last" if t.final else "token", t.sequence) for t in engine.finish(iteration)]
        if has_batch_sizes:
            updates.append((delivered_ns, "batch", len(iteration.generating) + len(iteration.prefill)))
    end_ns = delivered_ns + S
    updates += [(at_ns, "book", None) for at_ns in range(100 * S, end_ns, 200 * MS)]
    account, opened, before = Account(), {}, (0, 0)
    for now_ns, kind, subject in sorted(updates, key=lambda n: n[0]):
        if kind == "arrival":
            opened[subject] = account.open(now_ns)
        elif kind == "batch":
            account.engine_scheduled(subject, now_ns)
        elif kind == "book":
            account.book(now_ns)
            sums = account.queue_us, account.compute_us
            queue_ns = sum(max(0, min(s.first_scheduled_ns, now_ns) - s.arrival_ns) for s in sequences)
            compute_ns = sum(max(0, min(s.last_token_ns, now_ns) - s.first_scheduled_ns) for s in sequences)
            assert before[0] <= sums[0] <= queue_ns // 1000
            assert before[1] <= sums[1] <= compute_ns // 1000
            before = sums
        else:
            times = Times(subject.arrival_ns, subject.first_scheduled_ns, subject.first_token_ns)
            account.token(
                opened[subject], now_ns, times._replace(last_token_ns=subject.last_token_ns * (kind == "last"))
            )
            if kind == "last":
                account.close(opened[subject], now_ns)
    account.book(end_ns)
    assert account.queue_us == sum(s.first_scheduled_ns - s.arrival_ns for s in sequences) // 1000
    assert account.compute_us == sum(s.last_token_ns - s.first_scheduled_ns for s in sequences) // 1000
    assert len(account) == 0
