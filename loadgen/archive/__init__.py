"""Uploads run folders to an object store or another folder."""
