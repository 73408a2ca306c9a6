"""Pure readers of raw Kubernetes objects."""
