"""The embedded stack: real Triton, Prometheus, gateway and an HPA twin as local processes."""
