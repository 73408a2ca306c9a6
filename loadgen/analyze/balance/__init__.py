"""Determines which replica answered which requests, how evenly they were spread, and how cold replicas answered."""
