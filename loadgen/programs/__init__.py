"""Finds third-party programs on this machine, or fetches them into the cache of the user."""
