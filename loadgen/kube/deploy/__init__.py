"""Installs the bundled chart with helm, and waits until its replicas are ready."""
