"""Declares the fields of Kubernetes objects that are read, as models that check their types."""
