"""The process kubelet: a node agent that runs the containers of pods as local processes in Linux namespaces."""
