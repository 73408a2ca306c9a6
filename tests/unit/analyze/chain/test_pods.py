"""How a replica started: cold and warm nodes, the local stack, and what was not observed."""

from loadgen.analyze.chain.pods import pod_start, startup
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import event, observed, series


def started(*events, up=None):
    phases = [
        event(10.0, "replica_created", "a"),
        event(11.0, "replica_scheduled", "a"),
        event(20.0, "replica_started", "a"),
        event(30.0, "replica_ready", "a"),
    ]
    samples = series("up", "a", up) if up else []
    run = observed(events=[*phases, *events], samples=samples)
    pod = fleet(run).pods["a"]
    return pod_start(pod, startup(run, [each for each in run.events if each.pod == "a"], pod))


def pod_event(t_s, reason, message):
    return event(t_s, "pod_event", "a") | {"reason": reason, "message": message}


def test_images_on_the_node_take_no_time():
    """Every image was present: the node is warm, and the pull takes 0 s."""
    found = started(pod_event(12.0, "Pulled", 'Container image "x" already present on machine'))
    assert (found.warm_node, found.pull_s) == (True, 0.0)


def test_one_image_that_was_pulled_makes_a_node_cold():
    """An init container was on the node, the server was pulled in 6 s."""
    found = started(
        pod_event(12.0, "Pulled", 'Container image "init" already present on machine'),
        pod_event(13.0, "Pulling", 'Pulling image "x"'),
        pod_event(19.0, "Pulled", 'Successfully pulled image "x" in 6s (6s including waiting)'),
        pod_event(10.0, "Scheduled", "Successfully assigned serving/a to gpu-7"),
    )
    assert (found.warm_node, found.pull_s, found.node) == (False, 6.0, "gpu-7")


def test_the_first_successful_scrape_ends_the_load():
    """Scrapes fail from 21 to 26 s and succeed from 27 s on: 7 s of load, 3 s until the probe succeeded."""
    found = started(up={float(t): float(t >= 27) for t in range(21, 40)})
    assert (found.load_s, found.probe_s) == (7.0, 3.0)
    assert found.why_missing == "pull: no image pull was recorded"


def test_a_scrape_after_ready_tells_nothing():
    """The first scrape comes at 33 s: load and probe are not told apart."""
    found = started(up={33.0: 1.0})
    assert (found.load_s, found.probe_s) == (None, None)


def test_the_local_stack_emulates_pull_and_load_as_one():
    """From 12 s until its server process starts at 20 s; 10 s until it is ready."""
    found = started(event(12.0, "replica_pulling", "a"))
    assert (found.pull_s, found.load_s, found.probe_s, found.warm_node) == (None, 8.0, 10.0, None)
    assert found.why_missing == "pull: the local stack emulates the pull and the load as one delay"


def test_a_pull_of_a_restart_is_not_of_the_start():
    """A container that is pulled again after the replica was ready does not make the first start longer."""
    found = started(
        pod_event(12.0, "Pulled", 'Container image "x" already present on machine'),
        pod_event(90.0, "Pulling", 'Pulling image "x"'),
        pod_event(95.0, "Pulled", 'Successfully pulled image "x" in 5s'),
    )
    assert (found.warm_node, found.pull_s) == (True, 0.0)
