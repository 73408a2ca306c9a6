"""Defines the values of a run from which the groups of requests are selected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.gaps import Gaps
from loadgen.analyze.observed import Answers, Damage, Floats, Ints


class Counted:
    """The number of times that something happened, for spans.

    Args:
        t_s: The times; what is not finite did not happen.
    """

    def __init__(self, t_s: Floats) -> None:
        self._t_s = np.sort(t_s[np.isfinite(t_s)])

    def within(self, start_s: float, end_s: float, closed: bool) -> float:
        """The number in [start, end), or in [start, end] when closed."""
        first = np.searchsorted(self._t_s, start_s, side="left")
        return float(np.searchsorted(self._t_s, end_s, side="right" if closed else "left") - first)


class Received:
    """Output tokens by the time of their arrival, for spans; those of a request are spread over its responses.

    Args:
        answers: The answers of the run; iterated again for spans with other edges.
        output_tokens: Tokens of each request by row, NaN where unknown: one for each response.
        edges_s: Edges of the spans that will be asked for.
    """

    def __init__(self, answers: Iterable[Answers], output_tokens: Floats, edges_s: Iterable[float] = ()) -> None:
        self._answers, self._output_tokens = answers, output_tokens
        edges = np.unique(np.fromiter(edges_s, dtype=np.float64))
        # A span that is closed ends just after its edge.
        self._edges = np.unique(np.concatenate((edges, np.nextafter(edges, np.inf))))
        self._sums = np.zeros(len(self._edges) + 1)
        self._at_once: tuple[Floats, Floats] = np.empty(0), np.empty(0)

    def add(self, answers: Answers) -> None:
        """Add the tokens of some answers."""
        if not len(answers.t_s):
            return
        tokens = self._output_tokens[answers.row]
        counts = np.where(np.isfinite(tokens), tokens, answers.lengths)
        first, last = np.searchsorted(self._edges, (answers.t_s.min(), answers.t_s.max()), side="right")
        if first == last:
            self._sums[first] += counts.sum()
            return
        place = np.searchsorted(self._edges, answers.t_s, side="right")
        weights = np.repeat(counts / answers.lengths, answers.lengths)
        self._sums += np.bincount(place, weights, minlength=len(self._sums))

    def add_at_once(self, t_s: Floats, tokens: Floats) -> None:
        """Add the tokens of requests whose token times are not recorded, at the time of their last token."""
        use = np.isfinite(t_s) & np.isfinite(tokens)
        place = np.searchsorted(self._edges, t_s[use], side="right")
        self._sums += np.bincount(place, tokens[use], minlength=len(self._sums))
        self._at_once = t_s[use], tokens[use]

    def within(self, start_s: float, end_s: float, closed: bool) -> float:
        """The tokens in [start, end), or in [start, end] when closed."""
        until_s = np.nextafter(end_s, np.inf) if closed else end_s
        first, last = np.searchsorted(self._edges, (start_s, until_s))
        if max(first, last) == len(self._edges) or self._edges[first] != start_s or self._edges[last] != until_s:
            return self._again(start_s, end_s).within(start_s, end_s, closed)
        return float(self._sums[first + 1 : last + 1].sum())

    def _again(self, *edges_s: float) -> "Received":
        """The same for other edges, by another pass over all answers."""
        received = Received(self._answers, self._output_tokens, edges_s)
        for answers in self._answers:
            received.add(answers)
        received.add_at_once(*self._at_once)
        return received


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Values from which the groups of requests are selected.

    Attributes:
        responses: Number of responses with output of each request.
        latest_s: Time of the last of them; NaN without one.
        gaps: Gaps between consecutive responses of one request, of all due requests.
        slow_gaps: For each limit on a gap, the number of longer gaps of each request.
        tpot_s: (last − first token) / (output tokens − 1) of each request; NaN below two tokens or two responses.
        offered: Due requests over time.
        completed: `ok` requests by the time at which they ended.
        tokens: Output tokens by the time of their arrival.
        damage: Rows that cannot be true, of all tables.
    """

    responses: Ints
    latest_s: Floats
    gaps: Gaps
    slow_gaps: Mapping[float, Ints]
    tpot_s: Floats
    offered: Counted
    completed: Counted
    tokens: Received
    damage: tuple[Damage, ...]
