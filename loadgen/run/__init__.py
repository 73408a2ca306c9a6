"""Conducts one run inside Locust, from its flags to its reports."""
