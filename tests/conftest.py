"""Settings that all suites share."""

from hypothesis import settings

# laws are about values: on a busy machine a deadline would fail them for being slow
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
