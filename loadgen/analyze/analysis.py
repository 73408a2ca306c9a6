"""Analyzes a run: the same tables always give the same values, without files, sockets or clock; seeds are fixed."""

from dataclasses import replace

import numpy as np

from loadgen.analyze import latency
from loadgen.analyze.attainment import attainment
from loadgen.analyze.audit.audit import audit
from loadgen.analyze.balance.age import replica_age
from loadgen.analyze.balance.balance import balance
from loadgen.analyze.balance.served import served
from loadgen.analyze.chain.fix import fix_first
from loadgen.analyze.chain.links import Chains
from loadgen.analyze.correlation import correlations
from loadgen.analyze.cost.cost import cost, met_latency_limits
from loadgen.analyze.cost.pricing import prices
from loadgen.analyze.demand.in_time import in_time
from loadgen.analyze.demand.need import need
from loadgen.analyze.demand.replica import NO_WAITS, fit
from loadgen.analyze.demand.result import assess, until_backlog_gone
from loadgen.analyze.failures import failures
from loadgen.analyze.findings.attainment import attainment_limits
from loadgen.analyze.findings.audit import unexplained
from loadgen.analyze.findings.chance import with_chance
from loadgen.analyze.findings.clock import clock_offsets, clock_steps
from loadgen.analyze.findings.damage import damaged_rows
from loadgen.analyze.findings.in_time import not_tested, scale_up_lag
from loadgen.analyze.findings.incidents import incidents
from loadgen.analyze.findings.pressure import nodes_under_pressure
from loadgen.analyze.findings.slo import slo
from loadgen.analyze.findings.spread import cold_replicas, spread
from loadgen.analyze.findings.too_large import too_large
from loadgen.analyze.findings.validity import never_started, validity
from loadgen.analyze.findings.verdict import ordered, verdict
from loadgen.analyze.findings.warnings import warnings
from loadgen.analyze.generator import generator
from loadgen.analyze.headline import headline
from loadgen.analyze.measure import measure
from loadgen.analyze.nodes import nodes
from loadgen.analyze.observed import Observed, Tables
from loadgen.analyze.prepare import observe
from loadgen.analyze.queueing import mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.results import Analysis, Run, State
from loadgen.analyze.scaling.chain_gaps import with_gaps
from loadgen.analyze.scaling.events import lag_windows, scaling_events
from loadgen.analyze.scaling.replicas import UNKNOWN, fleet
from loadgen.analyze.signal.summary import judge
from loadgen.analyze.timeline import marks, timeline, ttft_p95_of_bins
from loadgen.analyze.warm_up import warm_up
from loadgen.dataset.run_info import RunInfo
from loadgen.scenario.settings import Pricing


def analyze(info: RunInfo, tables: Tables, pricing: Pricing | None = None) -> Analysis:
    """Analyze a run.

    Args:
        info: The content of `run.json`.
        tables: The four tables; values that need an empty table are missing in the result.
        pricing: Prices that replace those of the settings in `run.json`, where they have a value.
    """
    run = observe(info, tables)
    replicas = fleet(run)
    by_pod = ratio_by_pod(run, replicas)
    ratio = mean_over_pods(by_pod, stale_s(run))
    model = fit(run, replicas, run.requests.service_s)
    needed = model if isinstance(model, str) else need(run, model.rates, None if model.slots_known else NO_WAITS)
    signal = judge(run, replicas, ratio)
    scaling = with_gaps(run, replicas, ratio, scaling_events(run, replicas, ratio, needed), signal.clock)
    assessed = assess(run, replicas, model, needed, scaling)
    timely = in_time(run, ratio, assessed.demand, scaling, signal.truth, signal.clock)
    demand = replace(assessed.demand, in_time={"in_time": True, "late": False}.get(timely.answer))
    windows = until_backlog_gone(lag_windows(run, scaling), assessed.slow_by_lag_s)
    audited = audit(run, replicas, scaling, ratio)
    measured = measure(run, replicas.ready)
    run = replace(run, damage=measured.damage)
    attained = attainment(run, measured)
    by = served(run, replicas)
    hosts = nodes(run, replicas)
    balanced, aged = balance(run, replicas, by), replica_age(run, replicas, by)
    chains = Chains(run, replicas, ratio, demand, audited, assessed.backlog, balanced).of(scaling)
    stages = latency.stage_spans(run)
    line = timeline(run, replicas, by_pod, ratio, UNKNOWN if isinstance(needed, str) else needed.curve)
    findings = ordered(
        [never_started(info.error), *damaged_rows(run), *incidents(run)]
        if info.load_start_s is None
        else [
            *validity(run, replicas),
            *damaged_rows(run),
            *clock_steps(run, replicas),
            *clock_offsets(signal.clock),
            *with_chance(slo(run, measured, windows), demand.percentiles),
            *attainment_limits(run, attained),
            *scale_up_lag(run, timely),
            *not_tested(run, timely),
            *warnings(run, replicas, ratio, scaling, demand, signal),
            *spread(run, balanced),
            *cold_replicas(run, aged),
            *unexplained(audited),
            *too_large(run, replicas, audited),
            *nodes_under_pressure(run, hosts),
        ]
    )
    return Analysis(
        run=_run(run),
        verdict=verdict(findings),
        findings=findings,
        headline=replace(headline(run, replicas, scaling, windows), in_time=timely),
        whole=latency.whole(run, measured),
        stages=latency.per_stage(run, measured, stages),
        by_replicas=latency.per_replicas(run, measured, replicas),
        outcomes=latency.outcomes(run),
        scaling=scaling,
        lag_windows=windows,
        stage_spans=stages,
        timeline=line,
        marks=marks(run, replicas),
        correlations=correlations(line, ttft_p95_of_bins(run, line), run.end_s),
        cost=cost(
            run,
            replicas,
            demand,
            model=model,
            attained=attained,
            met=met_latency_limits(findings),
            prices=prices(info, pricing),
            chunks=run.chunks,
        ),
        capacity_per_s=demand.capacity.value if demand.capacity else None,
        demand=demand,
        output_unit="chunks" if run.chunks else "tokens",
        warm_up=None if info.load_start_s is None else warm_up(run, replicas),
        itl_error_ratio=measured.gaps.error_ratio,
        by_warm_up=latency.per_warm_up(run, measured),
        attainment=attained,
        signal=None if info.load_start_s is None else signal.truth,
        engine=signal.engine,
        gaps=signal.gaps,
        clock_offset=None if info.load_start_s is None else signal.clock,
        audit=audited,
        balance=None if info.load_start_s is None else balanced,
        replica_age=None if info.load_start_s is None else aged,
        generator=None if info.load_start_s is None else generator(run, by),
        nodes=None if info.load_start_s is None else hosts,
        chains=chains,
        fix_first=fix_first(chains, scaling),
        failures=None if info.load_start_s is None else failures(run, replicas, scaling, windows, demand),
    )


def _run(run: Observed) -> Run:
    info = run.info
    states: dict[str, State] = {"finished": "finished", "stopped": "stopped"}
    scaler = info.autoscaler
    return Run(
        run_id=info.run_id,
        scenario=info.scenario,
        started_unix_s=info.clock.to_unix(run.zero_s),
        length_s=run.length_s,
        state="never_started" if info.load_start_s is None else states.get(info.state, "interrupted"),
        stop_cause=info.stop_cause,
        target=info.target,
        protocol=info.protocol,
        stream=info.stream,
        model=info.model,
        emulated=info.emulated,
        compressed=info.compressions,
        ratio_target=scaler.target if scaler else None,
        min_replicas=scaler.min_replicas if scaler else None,
        max_replicas=scaler.max_replicas if scaler else None,
        sync_period_s=scaler.sync_period_s if scaler else None,
        ratio_metric=scaler.metric if scaler else None,
        tolerance=scaler.tolerance if scaler else None,
        rate_window_s=scaler.rate_window_s if scaler else None,
        scale_down_window_s=scaler.scale_down_window_s if scaler else None,
        cluster=info.cluster,
        settings=dict(info.settings),
        seeds=dict(info.seeds),
        versions=dict(info.versions),
        repeated_prompts_ratio=_repeated_prompts_ratio(run),
    )


def _repeated_prompts_ratio(run: Observed) -> float | None:
    """The share of the sent requests that repeat a prompt: the first prompts all differ, the later ones do not."""
    sent = int(np.count_nonzero(~np.isnan(run.requests.sent_s)))
    if run.info.prompts is None or not sent:
        return None
    return max(0, sent - run.info.prompts.distinct) / sent
