"""The collector: a process of its own that fills `samples/` and `events/` of a run folder, and does no statistics."""
