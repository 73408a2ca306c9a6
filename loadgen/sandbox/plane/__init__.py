"""Runs the control plane as processes: components, credentials, nodes, network and add-ons."""
