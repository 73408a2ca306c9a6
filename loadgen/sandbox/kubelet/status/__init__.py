"""What the kubelet reports of a pod: states of its containers, phase, status."""
