"""The control plane as processes: its programs, certificates, nodes, network and add-ons."""
