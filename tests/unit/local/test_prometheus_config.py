"""The configuration of Prometheus."""

import json
from pathlib import Path

import pytest

from loadgen.local.prometheus import duration, rules_config, scrape_config, targets_config

CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files:
- /work/rules.yml
scrape_configs:
- job_name: triton
  file_sd_configs:
  - files:
    - /work/targets.json
    refresh_interval: 5s
"""
RULES = """\
groups:
- name: triton
  rules:
  - record: triton:queue_compute:ratio
    expr: sum by (pod) (rate(nv_inference_queue_duration_us{model="tensorrt_llm_bls"}[10s])) / \
clamp_min(sum by (pod) (rate(nv_inference_compute_infer_duration_us{model="tensorrt_llm_bls"}[10s])), 1)
"""


def test_scrape_config() -> None:
    """Rules are evaluated as often as replicas are scraped."""
    assert (
        scrape_config(interval_s=1, targets_file=Path("/work/targets.json"), rules_file=Path("/work/rules.yml"))
        == CONFIG
    )


def test_scrape_timeout_is_never_above_the_interval() -> None:
    """Prometheus refuses a timeout above the interval; its default for slow scrapes is 10 s."""
    files = {"targets_file": Path("/t"), "rules_file": Path("/r")}
    assert "scrape_timeout: 500ms" in scrape_config(interval_s=0.5, **files)
    assert "scrape_timeout: 10s" in scrape_config(interval_s=30, **files)


def test_ratio_rule() -> None:
    """The query sums before it divides, covers only the model under test, and divides by at least 1."""
    assert rules_config(model="tensorrt_llm_bls", window_s=10.0) == RULES


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (60.0, "60s"), (0.5, "500ms"), (1.25, "1250ms")])
def test_durations(seconds: float, text: str) -> None:
    """Whole seconds stay seconds, others become milliseconds, because Prometheus' durations have no decimal point."""
    assert duration(seconds) == text


def test_targets() -> None:
    """Each replica is a target of its own with its name as label `pod`; without replicas the list is empty."""
    assert json.loads(targets_config({"b": "127.0.0.1:2", "a": "127.0.0.1:1"})) == [
        {"targets": ["127.0.0.1:1"], "labels": {"pod": "a"}},
        {"targets": ["127.0.0.1:2"], "labels": {"pod": "b"}},
    ]
    assert json.loads(targets_config({})) == []
