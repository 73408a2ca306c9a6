"""Connects the load to Locust: users, load shape, statistics, and generator processes."""
