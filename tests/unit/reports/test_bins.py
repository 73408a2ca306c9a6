"""What reports say about gaps that are counted in bins."""

from dataclasses import replace

import numpy as np
from loadgen_reports import tables
from loadgen_reports.formats import markdown

from loadgen.analyze import gaps
from loadgen.analyze.analysis import analyze
from support.runs.synthetic import sample
from support.runs.tables import info, request
from support.runs.tables import tables as tables_of

SENTENCE = "percentiles are within 0.05 % of the measured value"


def test_the_error_of_a_percentile_is_known_once_gaps_are_counted_in_bins(monkeypatch):
    """Up to the limit each gap is kept, and the percentiles have no error; with hundreds of groups bins are wider."""
    few = tables_of(requests=[request(n, float(n)) for n in range(3)], tokens={n: [n + 0.5, n + 1] for n in range(3)})
    assert analyze(info(), few).itl_error_ratio == 0.0
    monkeypatch.setattr(gaps, "EXACT", 2)
    assert analyze(info(), few).itl_error_ratio == gaps.ERROR
    many = gaps.Gaps((), np.arange(1000), np.zeros(1000))
    many.add(np.ones(3), np.arange(3), np.array([1, 1, 1]))
    # 42 powers of two, 1,000 groups and 2^24 bins: 399 for each power, of which a power of two is 256, not 1,024.
    assert many.error_ratio == 4 * gaps.ERROR


def test_the_table_of_itl_says_that_its_percentiles_come_from_bins():
    """It says so in the notes below its numbers, which all formats have, and no other table does."""
    failing = sample("failing")
    binned = replace(failing, itl_error_ratio=gaps.ERROR)
    assert "counted in bins" not in markdown.render(failing)
    says = {table.key: any(SENTENCE in note for note in table.notes) for table in tables.latencies(binned)}
    assert [key for key, bins in says.items() if bins] == ["itl"]
    assert SENTENCE in markdown.render(binned).replace("\u00a0", " ")
