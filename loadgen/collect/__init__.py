"""The collector: a separate process that writes `samples/` and `events/` of a run folder."""
