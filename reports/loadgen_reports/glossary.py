"""Defines the terms that the page explains."""

from loadgen.dataset import terms

_EXPLAINED = (
    terms.ARRIVAL,
    terms.TTFT,
    terms.ITL,
    terms.TPOT,
    terms.E2E,
    terms.SEND_LAG,
    terms.RATIO,
    terms.TRUE_RATIO,
    terms.DESIRED,
    terms.READY,
    terms.SERVING,
    terms.DEMAND,
    terms.LAG,
    terms.RECOVERED,
    terms.SLO,
    terms.ATTAINMENT,
    terms.IN_VIOLATION,
    terms.BURN,
    terms.GOODPUT,
    terms.VERDICT,
    terms.CORRELATION,
    terms.COST,
)


def _text(term: terms.Term) -> str:
    return f"{term.label} = {term.formula}. {term.meaning}" if term.formula else term.meaning


TERMS: dict[str, tuple[str, str]] = {term.key: (term.label, _text(term)) for term in _EXPLAINED}
"""Label and definition of every term that the page explains, by key."""
