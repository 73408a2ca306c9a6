"""Reads a run folder and analyzes it."""

from loadgen.analyze.analysis import analyze
from loadgen.analyze.observed import Tables
from loadgen.analyze.results import Analysis
from loadgen.dataset.folder import RunFolder


def analyze_folder(folder: RunFolder) -> Analysis:
    """Read and analyze a run folder.

    Raises:
        DatasetError: there is no run, a part is damaged, or the schema version differs.
    """
    tables = Tables(
        requests=folder.read("requests"),
        tokens=folder.read("tokens"),
        samples=folder.read("samples"),
        events=folder.read("events"),
    )
    return analyze(folder.read_info(), tables)
