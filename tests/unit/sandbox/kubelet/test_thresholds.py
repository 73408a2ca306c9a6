"""Probe timing: https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/."""

import pytest

from loadgen.sandbox.kubelet.container.thresholds import Counter, Rhythm


def test_defaults() -> None:
    """A probe that says nothing runs at once, every 10 s, has 1 s, and needs 1 success or 3 failures."""
    assert Rhythm.of({"tcpSocket": {"port": 1}}) == Rhythm(
        initial_delay_s=0, period_s=10, timeout_s=1, successes=1, failures=3
    )


def test_fields_of_the_spec() -> None:
    """Every timing field of the spec is taken over."""
    spec = {
        "initialDelaySeconds": 7,
        "periodSeconds": 3,
        "timeoutSeconds": 2,
        "successThreshold": 4,
        "failureThreshold": 5,
    }
    assert Rhythm.of(dict(spec)) == Rhythm(initial_delay_s=7, period_s=3, timeout_s=2, successes=4, failures=5)


def test_first_probe_waits_for_the_initial_delay() -> None:
    """initialDelaySeconds is counted from the start of the container."""
    assert Rhythm(initial_delay_s=7, period_s=3).next_tick_s(0.0) == 7


@pytest.mark.parametrize(("elapsed_s", "due_s"), [(7.0, 10.0), (9.9, 10.0), (10.0, 13.0), (20.5, 22.0)])
def test_later_probes_keep_the_period(elapsed_s: float, due_s: float) -> None:
    """Probes are due every period after the first; those that a slow one missed are left out."""
    assert Rhythm(initial_delay_s=7, period_s=3).next_tick_s(elapsed_s) == due_s


def verdicts(results: str, *, successes: int = 1, failures: int = 3) -> str:
    counter = Counter(Rhythm(successes=successes, failures=failures))
    words = {True: "S", False: "F", None: "."}
    return "".join(words[counter.add(result == "s")] for result in results)


@pytest.mark.parametrize(
    ("results", "expected"),
    [("f", "."), ("fff", "..F"), ("ffff", "..FF"), ("ffsff", "..S.."), ("ffsfff", "..S..F"), ("s", "S")],
)
def test_failure_threshold(results: str, expected: str) -> None:
    """failureThreshold counts failures in a row; a success in between begins the count anew."""
    assert verdicts(results) == expected


@pytest.mark.parametrize(("results", "expected"), [("ss", ".S"), ("sfss", "...S"), ("fffss", "..F.S")])
def test_success_threshold(results: str, expected: str) -> None:
    """successThreshold asks for so many successes in a row after a failure before the probe counts as passed."""
    assert verdicts(results, successes=2) == expected
