"""Finds pitfalls of autoscaling in values of the bundled chart, in manifests, and in a live namespace."""
