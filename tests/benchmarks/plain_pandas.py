"""The point estimates of a run in plain pandas, as one writes them in a notebook: what the analysis is compared with.

`python tests/benchmarks/plain_pandas.py RUN` prints them as JSON. It trusts the folder, and has no intervals, bounds,
replays, findings or scaling chain: the latencies of the whole run, of each stage and of each number of ready replicas,
the rates, the outcomes, the timeline by the second and the attainment by windows.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "max": 1.0}
WINDOW_S = 30.0


def estimates(folder: Path) -> dict[str, Any]:
    """All point estimates of one run."""
    info = json.loads((folder / "run.json").read_text())
    zero, end = info["load_start_s"], info["load_end_s"]
    requests = pd.read_parquet(folder / "requests")
    requests["ok"] = requests.outcome == "ok"
    requests["ttft"] = requests.first_token_s - requests.scheduled_s
    requests["e2e"] = (requests.last_token_s - requests.scheduled_s).where(requests.ok)
    requests["tpot"] = ((requests.last_token_s - requests.first_token_s) / (requests.output_tokens - 1)).where(
        requests.output_tokens >= 2
    )
    requests["send_lag"] = requests.sent_s - requests.scheduled_s
    events = pd.read_parquet(folder / "events")
    ready = np.sort(events.t_s[events.kind == "replica_ready"].to_numpy())
    requests["replicas"] = np.searchsorted(ready, requests.scheduled_s.to_numpy(), side="right")
    starts = [stage["start_s"] for stage in info["stages"]]
    requests["stage"] = np.searchsorted(starts, requests.scheduled_s.to_numpy(), side="right") - 1

    tokens = pd.read_parquet(folder / "tokens").explode("t_s")
    tokens["t_s"] = tokens.t_s.astype("float64")
    tokens["gap"] = tokens.groupby("request_id").t_s.diff()
    tokens = tokens.merge(requests[["request_id", "stage", "replicas"]], on="request_id")

    def latencies(rows: pd.DataFrame, gaps: pd.Series) -> dict[str, Any]:
        values = {name: rows[name] for name in ("ttft", "e2e", "tpot", "send_lag")} | {"itl": gaps}
        return {name: distribution(series) for name, series in values.items()} | {
            "scheduled": len(rows),
            "answered": int(rows.ok.sum()),
        }

    whole = latencies(requests, tokens.gap)
    groups = {
        by: {str(name): latencies(rows, tokens.gap[tokens[by] == name]) for name, rows in requests.groupby(by)}
        for by in ("stage", "replicas")
    }
    rates = {
        "offered_per_s": len(requests) / (end - zero),
        "completed_per_s": int(requests.ok.sum()) / (end - zero),
        "output_tokens_per_s": float(requests.output_tokens.sum()) / (end - zero),
    }
    outcomes = requests.groupby(["outcome", "cause"], dropna=False).size()
    due_second = (requests.scheduled_s - zero).floordiv(1).astype(int)
    end_second = (requests.ended_s - zero).floordiv(1).astype(int)
    timeline = pd.DataFrame(
        {
            "offered": due_second.value_counts(),
            "completed": end_second[requests.ok].value_counts(),
            "failed": end_second[~requests.ok].value_counts(),
            "ttft_p50": requests.groupby(due_second).ttft.quantile(0.5, interpolation="higher"),
            "ttft_p95": requests.groupby(due_second).ttft.quantile(0.95, interpolation="higher"),
            "e2e_p50": requests.groupby(due_second).e2e.quantile(0.5, interpolation="higher"),
            "e2e_p95": requests.groupby(due_second).e2e.quantile(0.95, interpolation="higher"),
        }
    )
    limits = {limit["metric"]: limit["limit"] for limit in info["limits"] if limit["statistic"] == "p95"}
    slow = tokens.gap.gt(limits["itl"]).groupby(tokens.request_id).mean()
    slow = requests.request_id.map(slow).fillna(0.0)
    attained = requests.ok & (requests.ttft <= limits["ttft"]) & (requests.e2e <= limits["e2e"]) & (slow <= 0.05)
    windows = attained.groupby((requests.scheduled_s - zero).floordiv(WINDOW_S)).mean()
    samples = pd.read_parquet(folder / "samples")
    ratio = samples[samples.signal == "ratio"].pivot_table(index="t_s", columns="pod", values="value")
    return {
        "whole": whole,
        **groups,
        **rates,
        "outcomes": {" ".join(map(str, key)): int(count) for key, count in outcomes.items()},
        "timeline": {name: timeline[name].tolist() for name in timeline},
        "attainment": windows.tolist(),
        "ratio": ratio.mean(axis=1).tolist(),
    }


def distribution(values: pd.Series) -> dict[str, float]:
    values = values.dropna()
    if values.empty:
        return {}
    ranks = values.quantile(list(SHARES.values()), interpolation="higher")
    return dict(zip(SHARES, ranks.tolist(), strict=True)) | {"mean": float(values.mean()), "count": len(values)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(estimates(Path(sys.argv[1]))) + "\n")
