"""Finds third-party programs on this machine, or downloads them into the user's cache."""
