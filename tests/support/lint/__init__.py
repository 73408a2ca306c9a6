"""Manifests for the tests of `loadgen lint`."""
