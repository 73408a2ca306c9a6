"""Reports the status of pods: container states, phase and conditions."""
