"""Settings that all suites share."""

import gc
import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    # The tests start hundreds of interpreters. Without bytecode each would compile pandas and Locust again, which takes
    # longer than the tests: where none may be written beside the sources, it is kept in pytest's own cache.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import settings

# Locust patches the process that imports it; the threads of a test process that runs beside others must stay threads.
# Only this import: the locusts that tests start are to be as they are.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
import locust  # noqa: F401 - for its import alone

del os.environ["LOCUST_SKIP_MONKEY_PATCH"]

# What is imported and collected does not become garbage, and finding this out takes a fifth of the time of collection.
gc.disable()

# Laws are about values: on a busy machine a deadline would fail them for being slow.
settings.register_profile("default-tests", deadline=None, max_examples=40)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile("default-tests")


@pytest.fixture(scope="session", autouse=True)
def _shared_samples(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let the processes of this run share the analyses of synthetic runs (`support.runs.synthetic.sample`)."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = tmp_path_factory.getbasetemp().parent / "samples"
        folder.mkdir(exist_ok=True)
        os.environ["LOADGEN_TEST_SAMPLES"] = str(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/unit/test_fuzz.py, and of what is too long for every change."""
    help_text = "how long to try random inputs for each parser; 0 tries a few fixed ones"
    parser.addoption("--fuzz-seconds", type=float, default=0.0, metavar="S", help=help_text)
    nightly = "run the tests marked `nightly`, too, and measure coverages over 1,000 runs"
    parser.addoption("--nightly", action="store_true", help=nightly)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each fuzz target its time before it counts as hanging."""
    if seconds := config.getoption("--fuzz-seconds"):
        for item in items:
            item.add_marker(pytest.mark.timeout(seconds + 300))


def pytest_collection_finish() -> None:
    """Find garbage from now on, though not among the collected tests, and seldom: it takes a twentieth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many inputs each fuzz target tried, and the coverage of each interval."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name in ("fuzz", "coverage") and getattr(report, "when", "") == "call":
                    terminalreporter.write_line(f"{name}: {text}")
