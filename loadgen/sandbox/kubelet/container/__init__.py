"""Runs containers: images, environment, processes, hooks, probes, memory limits and restarts."""
