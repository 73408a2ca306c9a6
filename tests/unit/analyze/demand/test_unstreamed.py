"""Services of answers that come in one piece: a line in their output tokens, through the requests that did not wait."""

import numpy as np
import pytest

from loadgen.analyze.demand.unstreamed import unstreamed


def run(tokens, service, gap_s=10.0):
    """Requests that are sent `gap_s` apart, and one slot: start, sent and last of each."""
    sent = gap_s * np.arange(len(tokens))
    last = np.empty(len(tokens))
    free = 0.0
    for number, (at, takes) in enumerate(zip(sent, service, strict=True)):
        free = last[number] = max(at, free) + takes
    return sent, last


def burst(sent, last, service, first):
    """Send the requests from `first` on 1 ms apart, so that each waits for the one before."""
    sent[first:] = sent[first] + 0.001 * np.arange(len(sent) - first)
    last[first:] = sent[first] + np.cumsum(service[first:])


def test_a_request_that_waited_has_the_service_of_its_length():
    """0.1 s and 30 ms a token: thirty lone requests show it, and ten that are sent at once wait for each other."""
    tokens = np.tile([10.0, 40.0, 70.0, 20.0], 10)
    service = 0.1 + 0.03 * tokens
    sent, last = run(tokens, service)
    burst(sent, last, service, 30)
    made = unstreamed(sent, last, last, tokens)
    assert made.service_s == pytest.approx(service)
    assert made.start_s == pytest.approx(last - service)
    assert (made.method, made.error_s) == ("modelled", pytest.approx(0.0, abs=1e-9))


def test_short_answers_of_lone_requests_do_not_make_the_replica_fast():
    """Lone requests have 10 or 20 tokens, those under load 100: their service is not that of the lone ones."""
    random = np.random.default_rng(1)
    tokens = np.concatenate((random.choice([10.0, 20.0], 40), np.full(60, 100.0)))
    service = 0.1 + 0.03 * tokens + random.normal(0.0, 0.01, 100)
    sent, last = run(tokens, service)
    burst(sent, last, service, 40)
    made = unstreamed(sent, last, last, tokens)
    assert made.service_s[40:].mean() == pytest.approx(3.1, abs=4 * made.error_s)
    assert 0.0 < made.error_s < 0.1


@pytest.mark.parametrize("tokens", [np.full(60, np.nan), np.full(60, 8.0), np.tile([5.0, 50.0, 20.0], 20)])
def test_without_a_relation_all_services_are_the_same(tokens):
    """The tokens are unknown, equal, or have nothing to do with the service."""
    service = np.tile([0.4, 0.4, 0.6, 0.6, 0.6, 0.4], 10)
    sent, last = run(tokens, service)
    made = unstreamed(sent, last, last, tokens)
    assert np.unique(made.service_s) == pytest.approx([0.5])


def test_a_request_without_an_answer_has_no_service():
    """One failed and one was not sent."""
    tokens = np.tile([10.0, 40.0], 20)
    sent, last = run(tokens, 0.1 + 0.03 * tokens)
    ended = last.copy()
    last[5], sent[6], last[6], ended[6] = np.nan, np.nan, np.nan, np.nan
    made = unstreamed(sent, last, ended, tokens)
    assert np.flatnonzero(~made.known).tolist() == [5, 6]
