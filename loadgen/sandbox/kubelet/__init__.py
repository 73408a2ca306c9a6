"""The process kubelet: a node agent that runs a pod's containers as local processes in namespaces of their own."""
