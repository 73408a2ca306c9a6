"""One run inside Locust, from the command line to the report."""
