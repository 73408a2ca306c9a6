"""What the HorizontalPodAutoscaler decides, as pure functions: `hpa.reconcile` is one sync of Kubernetes v1.37.

`spec` (what the HPA asks for) and `manifest` (reading it) go in with `state` (what one sync sees and decides). Between
them a sync goes through `proposals` (which ask `replicas` and `totals`) and `normalize`, and writes on a `draft`.
`arithmetic` is the controller's. Nothing here does I/O or reads a clock.
"""
