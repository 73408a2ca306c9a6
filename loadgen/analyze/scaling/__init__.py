"""How the fleet followed the load: replicas, scaling events, recovery and cost."""
