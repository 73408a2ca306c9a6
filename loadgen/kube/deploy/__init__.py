"""Installs the bundled chart with Helm and waits until it serves."""
