"""What helm prints after an install: commands that can be pasted."""

import pytest

from support.charts.helm import TRITON, notes

EMULATED = {"mode": "emulated"}


def test_the_notes_name_the_next_commands() -> None:
    """`helm test`, and a run that observes the cluster."""
    text = notes(TRITON, EMULATED)
    assert "locust -f scenarios/waves.py --headless --target kube --kube-namespace serving\n" in text
    assert "helm test demo -n serving\n" in text


@pytest.mark.parametrize(("labels", "hinted"), [({}, True), ({"release": "kube-prometheus-stack"}, False)])
def test_the_notes_name_metrics_labels_while_it_is_empty(labels: dict[str, str], hinted: bool) -> None:
    """Most installations of Prometheus select monitors and rules by a label."""
    assert ("metrics.labels" in notes(TRITON, {**EMULATED, "metrics": {"labels": labels}})) is hinted
