"""One module for each format of a report; every one writes the same analysis."""
