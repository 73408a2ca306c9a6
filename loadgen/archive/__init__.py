"""Uploads of run folders to where they are kept."""
