"""Probe timing: https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/."""

import pytest

from loadgen.sandbox.kubelet.container.prober import ProbeTiming, ResultCounter


def test_defaults() -> None:
    """By default a probe starts at once, has a period of 10 s, a timeout of 1 s and thresholds of 1 and 3."""
    assert ProbeTiming.from_spec({"tcpSocket": {"port": 1}}) == ProbeTiming(
        initial_delay_s=0, period_s=10, timeout_s=1, success_threshold=1, failure_threshold=3
    )


def test_fields_of_the_spec() -> None:
    """Every timing field of the spec is read."""
    spec = {
        "initialDelaySeconds": 7,
        "periodSeconds": 3,
        "timeoutSeconds": 2,
        "successThreshold": 4,
        "failureThreshold": 5,
    }
    assert ProbeTiming.from_spec(dict(spec)) == ProbeTiming(
        initial_delay_s=7, period_s=3, timeout_s=2, success_threshold=4, failure_threshold=5
    )


def test_first_probe_waits_for_the_initial_delay() -> None:
    """initialDelaySeconds is counted from the start of the container."""
    assert ProbeTiming(initial_delay_s=7, period_s=3).next_run_s(0.0) == 7


@pytest.mark.parametrize(("elapsed_s", "due_s"), [(7.0, 10.0), (9.9, 10.0), (10.0, 13.0), (20.5, 22.0)])
def test_later_probes_keep_the_period(elapsed_s: float, due_s: float) -> None:
    """Probes are due once a period after the first one; runs that a slow probe missed are skipped."""
    assert ProbeTiming(initial_delay_s=7, period_s=3).next_run_s(elapsed_s) == due_s


def changes(results: str, *, success_threshold: int = 1) -> str:
    """Return S, F or `.` for each result: success or failure threshold reached, or nothing changes."""
    counter = ResultCounter(ProbeTiming(success_threshold=success_threshold, failure_threshold=3))
    letters = {True: "S", False: "F", None: "."}
    return "".join(letters[counter.add(result == "s")] for result in results)


@pytest.mark.parametrize(
    ("results", "expected"),
    [("f", "."), ("fff", "..F"), ("ffff", "..FF"), ("ffsff", "..S.."), ("ffsfff", "..S..F"), ("s", "S")],
)
def test_failure_threshold(results: str, expected: str) -> None:
    """failureThreshold counts failures in a row; a success in between resets the count."""
    assert changes(results) == expected


@pytest.mark.parametrize(("results", "expected"), [("ss", ".S"), ("sfss", "...S"), ("fffss", "..F.S")])
def test_success_threshold(results: str, expected: str) -> None:
    """After a failure, the probe passes only with successThreshold successes in a row."""
    assert changes(results, success_threshold=2) == expected
