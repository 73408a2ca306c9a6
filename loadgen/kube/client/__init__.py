"""Talks to the Kubernetes API: requests, credentials, RBAC permissions; and authenticates requests to Prometheus."""
