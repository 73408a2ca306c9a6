"""`loadgen selftest`: what the load generator can do on this machine."""
