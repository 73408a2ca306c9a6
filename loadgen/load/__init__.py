"""Generates the load: arrivals and prompts as values, the sender that follows them, and the Locust adapters."""
