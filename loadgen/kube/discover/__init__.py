"""Discovers the workload under test and its autoscaler, Service and Prometheus."""
