"""Fixtures of the contract tests."""

from support.runs.locust_fixtures import bench, ports, whole_run  # noqa: F401 - pytest finds them here
