"""Reports of a group: repeated runs that are judged together."""
