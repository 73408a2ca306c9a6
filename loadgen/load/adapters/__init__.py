"""Locust's side of the load: users, shape, statistics, and the processes that generate it."""
