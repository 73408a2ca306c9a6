"""What runs a container: its image, environment, processes, probes and restarts."""
