"""Fuzz targets: one for every parser of data from outside, run by tests/unit/test_fuzz.py."""
