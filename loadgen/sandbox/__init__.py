"""A real Kubernetes control plane on one machine, without root, containers or a cluster; pods are local processes."""
