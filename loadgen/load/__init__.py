"""The load: rates, arrivals and prompts as values; users and recorder as thin adapters to Locust."""
