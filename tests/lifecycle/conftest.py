"""Fixtures of the lifecycle tests."""

from support.runs.locust_fixtures import bench, ports, whole_run  # noqa: F401 - pytest finds them here
