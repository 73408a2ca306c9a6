"""Serves the kubelet's HTTPS API: logs, exec and port-forward."""
