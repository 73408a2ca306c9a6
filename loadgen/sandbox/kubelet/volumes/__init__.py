"""Volumes of a pod: their folders, their projected files, and their mounts in containers."""
