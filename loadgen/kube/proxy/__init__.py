"""Runs local proxy processes beside a run: an authenticating relay for GET requests, and a port-forward to a pod."""
