"""The HPA twin: the HorizontalPodAutoscaler controller of Kubernetes v1.37 as pure functions.

`hpa.reconcile` is one sync. Its inputs are `spec` (the HPA, parsed by `manifest` with `metadata` and `api_types`) and
`state` (scale, pods, readings, memory). A sync computes `proposals` with `replicas` and `totals`, applies windows and
limits in `normalize`, and collects its result in a `draft`. `arithmetic` reproduces Go's numbers. No module does I/O or
reads a clock.
"""
