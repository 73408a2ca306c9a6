"""Reads PromQL expressions."""
