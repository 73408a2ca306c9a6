"""A finding that decides nothing."""

from loadgen.analyze.results import Finding


def warn(
    code: str, title: str, measured: float | None, limit: float | None, unit: str, window: str, advice: str
) -> Finding:
    """A warning; the fields are those of `Finding`."""
    return Finding(
        code=code,
        severity="warning",
        passed=False,
        title=title,
        measured=measured,
        limit=limit,
        unit=unit,
        window=window,
        advice=advice,
    )
