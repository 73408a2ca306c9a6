"""The Kubernetes API as this package talks to it: credentials, permissions, and the helper processes that proxy it."""
