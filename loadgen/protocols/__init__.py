"""Wire protocols: one module each, all answering with the same `Answer`."""
