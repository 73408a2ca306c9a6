"""Reads raw Kubernetes objects; nothing here calls the API."""
