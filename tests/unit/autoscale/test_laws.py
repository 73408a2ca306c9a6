"""Laws that hold for every HPA, replica count, reading and memory."""

import copy
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from loadgen.autoscale.spec import Behavior, ControllerSettings, HpaSpec, Policy, ScalingRules
from loadgen.autoscale.state import (
    ExternalValues,
    HpaStatus,
    Memory,
    ObjectValue,
    PodState,
    PodValues,
    ReadError,
    Recommendation,
    ScaleEvent,
    to_ns,
)
from support.hpa.builders import NOW_S, decide, external_metric, object_metric, pods_metric

law = settings(deadline=None)  # a shared machine may stop for longer than a sync takes
counts = st.integers(1, 60)
ages_s = st.floats(0.001, 4000)
policies = st.builds(
    Policy, type=st.sampled_from(["Pods", "Percent"]), value=st.integers(1, 300), period_s=st.integers(1, 1800)
)


def rules(window_s, tolerance_ratio):
    return st.builds(
        ScalingRules,
        policies=st.lists(policies, min_size=1, max_size=3).map(tuple),
        select_policy=st.sampled_from(["Max", "Min", "Disabled"]),
        stabilization_window_s=window_s,
        tolerance_ratio=tolerance_ratio,
    )


def behaviors_with(tolerance_ratio):
    windows_s = st.integers(0, 3600)
    return st.builds(
        Behavior,
        scale_up=rules(windows_s, tolerance_ratio),
        scale_down=rules(st.none() | windows_s, tolerance_ratio),
    )


behaviors = behaviors_with(st.none() | st.floats(0, 2))
recommendations = st.lists(
    st.builds(lambda replicas, ago_s: Recommendation(replicas=replicas, at_ns=to_ns(NOW_S - ago_s)), counts, ages_s),
    max_size=6,
).map(tuple)
events = st.lists(
    st.builds(lambda change, ago_s: ScaleEvent(change=change, at_ns=to_ns(NOW_S - ago_s)), counts, ages_s), max_size=4
).map(tuple)
memories = st.builds(Memory, recommendations=recommendations, scale_ups=events, scale_downs=events)
milli = st.integers(0, 20_000)
pod_states = st.lists(
    st.builds(
        PodState,
        name=st.uuids().map(str),
        phase=st.sampled_from(["Running", "Running", "Running", "Pending", "Failed"]),
        ready=st.sampled_from(["True", "False", None]),
        deleting=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def specs(draw, behavior):
    lowest, highest = sorted([draw(counts), draw(counts)])
    kinds = [pods_metric(), object_metric(value_milli=1000), external_metric(average_milli=1000)]
    metrics = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    return HpaSpec(min_replicas=lowest, max_replicas=highest, metrics=tuple(metrics), behavior=draw(behavior))


def reading(draw, metric, pods):
    if draw(st.integers(0, 9)) == 0:
        return ReadError(message="down")
    name = type(metric).__name__
    if name == "PodsMetric":
        return PodValues(milli={pod.name: draw(milli) for pod in pods if draw(st.integers(0, 4))})
    if name == "ObjectMetric":
        return ObjectValue(milli=draw(milli))
    return ExternalValues(milli=tuple(draw(st.lists(milli, max_size=3))))


@st.composite
def syncs(draw, behavior=None):
    """The arguments of `decide`, with or without behavior, unless given."""
    spec = draw(specs((st.none() | behaviors) if behavior is None else behavior))
    pods = draw(pod_states)
    return {
        "spec_": spec,
        "readings": [reading(draw, metric, pods) for metric in spec.metrics],
        "replicas": draw(st.integers(spec.lowest, spec.max_replicas)),
        "status_replicas": draw(st.integers(0, 60)),
        "pods_": tuple(pods),
        "memory": draw(memories),
    }


def run(sync, **changes):
    arguments = sync | changes
    spec, readings = arguments.pop("spec_"), arguments.pop("readings")
    return decide(spec, *readings, **arguments)


@law
@given(syncs(), st.integers(0, 120))
def test_the_replicas_end_up_within_the_bounds(sync, replicas):
    """Any number of replicas ends up within the bounds, except zero, which pauses the HPA."""
    decision = run(sync, replicas=replicas)
    if replicas == 0:
        assert decision.replicas == 0
    else:
        assert sync["spec_"].lowest <= decision.replicas <= sync["spec_"].max_replicas


@law
@given(syncs())
def test_a_sync_is_deterministic_and_does_not_change_its_inputs(sync):
    """The same inputs give the same decision, and they are not modified."""
    before = copy.deepcopy(sync)
    first, second = run(sync), run(sync)
    assert first == second
    assert sync == before


@law
@given(syncs(), st.floats(-500, 1e6))
def test_only_differences_of_times_count(sync, shift_s):
    """Shifting the clock, memory and all shifts the decision and nothing else."""
    shift_ns = to_ns(NOW_S + shift_s) - to_ns(NOW_S)
    memory = sync["memory"]
    moved = Memory(
        recommendations=tuple(replace(each, at_ns=each.at_ns + shift_ns) for each in memory.recommendations),
        scale_ups=tuple(replace(each, at_ns=each.at_ns + shift_ns) for each in memory.scale_ups),
        scale_downs=tuple(replace(each, at_ns=each.at_ns + shift_ns) for each in memory.scale_downs),
    )
    here, there = run(sync), run(sync, memory=moved, now_s=NOW_S + shift_s)
    assert (here.replicas, here.events, here.proposals) == (there.replicas, there.events, there.proposals)


@law
@given(counts, st.integers(900, 1100), st.none() | behaviors_with(st.none()))
def test_within_tolerance_the_replicas_do_not_change(replicas, value, behavior):
    """With every pod within 10 % of the target and no memory, no rules change the replicas."""
    spec = HpaSpec(max_replicas=60, metrics=(pods_metric(),), behavior=behavior)
    pods = {f"p{number}": value for number in range(replicas)}
    decision = decide(spec, PodValues(milli=pods), replicas=replicas)
    assert (decision.replicas, decision.rescaled) == (replicas, False)


@law
@given(counts, st.data(), behaviors)
def test_below_target_it_never_scales_up(replicas, data, behavior):
    """With behavior, no more pods than replicas and every value below target; the legacy path has no such law."""
    pods = {f"p{number}": data.draw(st.integers(0, 1000)) for number in range(replicas)}
    spec = HpaSpec(max_replicas=60, metrics=(pods_metric(),), behavior=behavior)
    decision = decide(spec, PodValues(milli=pods), replicas=replicas, memory=data.draw(memories))
    assert decision.replicas is not None
    assert decision.replicas <= replicas


@law
@given(counts, st.data())
def test_above_target_it_never_scales_down(replicas, data):
    """With every pod above target, there are at least as many replicas as before, on both paths."""
    pods = {f"p{number}": data.draw(st.integers(1000, 9000)) for number in range(replicas)}
    spec = HpaSpec(max_replicas=60, metrics=(pods_metric(),), behavior=data.draw(st.none() | behaviors))
    decision = decide(spec, PodValues(milli=pods), replicas=replicas, memory=data.draw(memories))
    assert decision.replicas is not None
    assert decision.replicas >= replicas


@law
@given(syncs(st.none()))
def test_the_legacy_path_never_more_than_doubles(sync):
    """The limit is max(2 · current, 4), with any memory."""
    decision = run(sync)
    assert decision.replicas <= max(2 * sync["replicas"], 4)


@law
@given(syncs(behaviors), st.integers(0, 3600), st.integers(0, 3600), st.sampled_from(["scale_up", "scale_down"]))
def test_a_longer_window_never_scales_faster(sync, one_s, other_s, side):
    """A longer scale-up window gives no more replicas, a longer scale-down window no fewer."""
    behavior = sync["spec_"].behavior
    assume(sync["memory"].recommendations)

    def replicas(window_s):
        changed = replace(getattr(behavior, side), stabilization_window_s=window_s)
        return run(sync, spec_=replace(sync["spec_"], behavior=replace(behavior, **{side: changed}))).replicas

    short, long = replicas(min(one_s, other_s)), replicas(max(one_s, other_s))
    assert long <= short if side == "scale_up" else long >= short


@law
@given(syncs(), st.floats(0, 3600), st.floats(0, 3600))
def test_a_longer_flag_never_scales_down_faster(sync, one_s, other_s):
    """A longer `--horizontal-pod-autoscaler-downscale-stabilization` gives no fewer replicas, on both paths."""
    assume(sync["memory"].recommendations)
    short, long = (
        run(sync, controller=ControllerSettings(downscale_stabilization_s=window_s)).replicas
        for window_s in sorted([one_s, other_s])
    )
    assert long >= short


@law
@given(syncs(behaviors), policies)
def test_one_more_policy_under_max_allows_no_less(sync, extra):
    """Max takes the largest change of all policies, Min the smallest."""
    behavior = sync["spec_"].behavior
    current = sync["replicas"]

    def change(select, policies_):
        side = {"select_policy": select, "policies": policies_}
        both = Behavior(scale_up=replace(behavior.scale_up, **side), scale_down=replace(behavior.scale_down, **side))
        return abs(run(sync, spec_=replace(sync["spec_"], behavior=both)).replicas - current)

    few = behavior.scale_up.policies
    assert change("Max", (*few, extra)) >= change("Max", few)
    assert change("Min", (*few, extra)) <= change("Min", few)
    assert change("Disabled", few) == 0


@law
@given(syncs())
def test_every_rescale_has_exactly_one_event(sync):
    """A change of the replicas has one SuccessfulRescale, with the new number; no change has none."""
    decision = run(sync)
    rescales = [event for event in decision.events if event.reason == "SuccessfulRescale"]
    assert decision.rescaled == (decision.replicas != sync["replicas"])
    assert len(rescales) == int(decision.rescaled)
    if rescales:
        assert rescales[0].message.startswith(f"New size: {decision.replicas}; reason: ")
        assert decision.status.last_scale_s == NOW_S


@law
@given(syncs())
def test_it_never_scales_down_with_a_failed_metric(sync):
    """The failed metric might have needed the replicas."""
    decision = run(sync)
    if any(proposal.fault for proposal in decision.proposals):
        assert decision.replicas >= sync["replicas"]
        assert decision.error is not None


@law
@given(syncs())
def test_the_metric_that_decides_is_the_largest(sync):
    """The proposed replicas are the largest proposal of a metric."""
    decision = run(sync)
    if decision.proposed_replicas is not None:
        replicas = [proposal.replicas for proposal in decision.proposals if proposal.replicas is not None]
        assert decision.proposed_replicas == max(replicas)


@law
@given(st.data())
def test_memory_is_bounded(data):
    """Syncs every 10 min leave only the entries of a 3600 s window and a 1800 s period, and one to reuse."""
    behavior = data.draw(st.none() | behaviors)
    spec = HpaSpec(max_replicas=60, metrics=(object_metric(value_milli=1000),), behavior=behavior)
    memory, status, replicas = Memory(), HpaStatus(), 3
    random = data.draw(st.randoms(use_true_random=False))
    for step in range(60):
        decision = decide(
            spec,
            ObjectValue(milli=random.randrange(4000)),
            replicas=replicas,
            memory=memory,
            status=status,
            now_s=NOW_S + 600 * step,
        )
        assert decision.replicas is not None
        memory, status, replicas = decision.memory, decision.status, decision.replicas
        assert len(memory.recommendations) <= 8
        assert len(memory.scale_ups) <= 5
        assert len(memory.scale_downs) <= 5
