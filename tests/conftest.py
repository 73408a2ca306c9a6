"""Settings that all suites share."""

import os

from hypothesis import settings

# Locust patches the process that imports it; the threads of a test process that runs beside others must stay threads.
# Only this import: the locusts that tests start are to be as they are.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
import locust  # noqa: F401 - for its import alone

del os.environ["LOCUST_SKIP_MONKEY_PATCH"]

# laws are about values: on a busy machine a deadline would fail them for being slow
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
