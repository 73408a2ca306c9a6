"""Templates of error messages: what differs between failures with the same cause is replaced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.dataset.causes import cause_template
from loadgen.dataset.names import Cause


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("500: request 0b3f1c9e-8a55-4c1e-9d0e-0123456789ab failed", "500: request UUID failed"),
        ("request 0B3F1C9E8A554C1E9D0E0123456789AB failed", "request UUID failed"),
        ("failed at 2026-11-30T09:12:08.123456Z", "failed at TIME"),
        ("failed at 2026-11-30 09:12:08,123", "failed at TIME"),
        ("failed at 2026-11-30T09:12:08+01:00: retry", "failed at TIME: retry"),
        ("[2026/11/30 09:12:08] failed", "[TIME] failed"),
        ("failed at 09:12:08.5", "failed at TIME"),
        ("Mon, 30 Nov 2026 09:12:08 GMT failed", "TIME failed"),
        ("failed on Mon Nov 30 09:12:08 2026", "failed on TIME"),
        ("30/Nov/2026 failed", "N/Nov/N failed"),
        ("E1130 09:12:08.123456 worker failed", "TIME worker failed"),
        ("failed at 1795521600.123", "failed at N"),
        ("object at 0x7fc0ee50ce90", "object at ID"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736 failed", "trace UUID failed"),
        ("span 00f067aa0ba902b7 failed", "span ID failed"),
        ("request req_01HF7YAT4TQ3ZVD8X5KB9W2M failed", "request req_ID failed"),
        ("chatcmpl-9aXkP3qT7LmN2vRs failed", "chatcmpl-ID failed"),
        ("connection to 10.0.0.7:8001 refused", "connection to ADDRESS refused"),
        ("ipv4:127.0.0.1:8001: connection refused", "ADDRESS: connection refused"),
        ("ipv6:%5B::1%5D:8001: Failed to connect", "ADDRESS: Failed to connect"),
        ("dial [fe80::1%eth0]:8001 failed", "dial ADDRESS failed"),
        ("no route to fd00:10:244::1f", "no route to ADDRESS"),
        ("pod triton-7d9f64c5b8-qr28b is gone", "pod triton-POD is gone"),
        ("request 7 of 64 took 0.53 s", "request N of N took N s"),
        ("batch_1234 and batch-1234 failed", "batch_N and batch-N failed"),
        ("sequence 123456789012 is unknown", "sequence N is unknown"),
        ("shape [1, 16] does not match [1, 17, 2]", "shape [N] does not match [N]"),
        ("line one\n  line two", "line one line two"),
        # what tells causes apart stays
        ("503: no available server", "503: no available server"),
        ("UNAVAILABLE: Received http2 header with status: 502", "UNAVAILABLE: Received http2 header with status: 502"),
        ("model llama_3_1_8b_instruct is not ready", "model llama_3_1_8b_instruct is not ready"),
        ("model 'llama-3.1-8b' is not ready on triton-2", "model 'llama-3.1-8b' is not ready on triton-2"),
        ("std::runtime_error in ns::add", "std::runtime_error in ns::add"),
        ("Exceeds maximum queue size", "Exceeds maximum queue size"),
    ],
)
def test_variable_parts_are_replaced(message, template):
    """Two failures that differ only in them have one cause."""
    assert cause_template(message) == template


@pytest.mark.parametrize("cause", list(Cause))
def test_a_declared_cause_is_its_own_template(cause):
    """The names of the tables stay as they are."""
    assert cause_template(cause) == cause


@given(st.text(alphabet="0123456789abcdefxyzT:-.,[]% /%", max_size=60) | st.text(max_size=60))
def test_a_template_stays_itself(text):
    """Causes are templates already when they are recorded, and are made once more when they are counted."""
    template = cause_template(text)
    assert cause_template(template) == template
    assert len(template) <= 160


def test_only_the_start_of_a_long_message_is_read():
    """Ten megabytes of an error body, which would take the expression seconds."""
    assert cause_template("0123456789abcdef " * 600_000).startswith("ID ID ID")
