"""All series that are recorded on the real controller and replayed on the twin.

The fast ones run at a sync period of 2 s, a downscale window of 5 s, a CPU initialization period of 9 s and a readiness
delay of 5 s. Windows and periods are odd, so that no age of a sync (about 2, 4, 6 … s) comes near one.
A series has fewer than 25 Warnings and fewer than 10 different texts of a reason, beyond which client-go drops and
merges events.
"""

from support.hpa.series_faults import FAULTS, OUTAGE
from support.hpa.series_limits import LIMITS
from support.hpa.series_real import REAL
from support.hpa.series_sources import SOURCES
from support.hpa.series_values import VALUES

SERIES = {series.name: series for series in (*VALUES, *LIMITS, *SOURCES, *FAULTS, *OUTAGE, *REAL)}
