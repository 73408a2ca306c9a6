"""What the signal of the autoscaler shows of a run, and what it does not."""
