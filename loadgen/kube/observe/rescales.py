"""Changes of the desired count of a workload: whether they were the autoscaler's, why, and when.

The workload says that its count changed, and nothing else. The autoscaler says of its own changes, a moment later and
in whole seconds, by an event (`New size: 3; reason: …`) and by `status.lastScaleTime`; what it says nothing of was done
by somebody else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loadgen.dataset.names import EventKind, RescaleReason
from loadgen.kube.objects.changes import Change, unix_s

_WORDS_WITHIN_S = 5.0
"""How long after a change the autoscaler's event and status may come."""
_UNHEARD_WITHIN_S = 60.0
"""The same while their watches are not heard."""
_SIGHT_S = 2.0
"""A watch that is heard shows a change at most that late."""
_STAMP_S = 1.0
"""The API stamps whole seconds: a time stamp means any moment of its second."""
_NOT_ITS_OWN = "changed by something other than the autoscaler"

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Word:
    """One rescale as the autoscaler told it; those of its status have no message."""

    size: int
    at_s: float
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A change as it was seen: at `seen_s`, of what was `before` at `since_s`; `blind` if nobody looked between."""

    before: int
    after: int
    since_s: float
    seen_s: float
    blind: bool


class Rescales:
    """Puts changes of the desired count and what the autoscaler says of them together; all times in seconds, Unix.

    Args:
        scaled: Whether there is an autoscaler to say something.

    Attributes:
        desired: The desired count; None as long as it is not known.
    """

    def __init__(self, *, scaled: bool) -> None:
        self.desired: int | None = None
        self._scaled = scaled
        self._open: list[_Seen] = []
        self._events: list[_Word] = []
        self._stamps: list[_Word] = []
        self._heard: set[tuple[Any, ...]] = set()

    def count(self, desired: int, now_s: float, blind_since_s: float | None = None) -> None:
        """The desired count as it is seen; `blind_since_s` where nobody looked since then."""
        before, self.desired = self.desired, desired
        if before is None:
            return
        if blind_since_s is not None:  # what came back to the same count was several changes
            self._open.append(_Seen(before, desired, blind_since_s, now_s, blind=True))
        elif before != desired:
            self._open.append(_Seen(before, desired, now_s - _SIGHT_S, now_s, blind=False))

    def event(self, raw: Raw, now_s: float) -> None:
        """An event of the autoscaler; one that is seen again, or is none of a rescale, says nothing."""
        size = new_size(raw)
        at = next((at for name in ("lastTimestamp", "eventTime") if (at := unix_s(raw.get(name))) is not None), now_s)
        key = (raw.get("metadata", {}).get("uid"), raw.get("count"), at)
        if size is not None and key not in self._heard:
            self._heard.add(key)
            self._events.append(_Word(size[0], at, size[1]))

    def status(self, hpa: Raw) -> None:
        """What the autoscaler wrote into its own status: when it rescaled last, and to what."""
        status = hpa.get("status", {})
        at, size = unix_s(status.get("lastScaleTime")), status.get("desiredReplicas")
        if at is not None and isinstance(size, int) and (at,) not in self._heard:
            self._heard.add((at,))
            self._stamps.append(_Word(size, at))

    def settle(self, now_s: float, *, unheard: bool = False, last: bool = False) -> Iterator[Change]:
        """Changes of which all is known by now, or for whose words was waited long enough.

        Args:
            now_s: Now.
            unheard: Whether the autoscaler is not heard at the moment: then its silence says nothing.
            last: Whether nobody waits any more.
        """
        while self._open:
            seen = self._open[0]
            within_s = _UNHEARD_WITHIN_S if unheard else _WORDS_WITHIN_S
            waited = now_s > seen.seen_s + within_s or not self._scaled
            if not (waited or last or (not seen.blind and self._find(self._events, seen))):
                return
            del self._open[0]
            silence = self._scaled and waited and not unheard
            yield from self._in_a_gap(seen, silence) if seen.blind else [self._told(seen, silence)]

    def _find(self, words: list[_Word], seen: _Seen) -> _Word | None:
        """The latest word that suits a change."""
        return max(
            (each for each in words if each.size == seen.after and self._within(each, seen)),
            key=lambda word: word.at_s,
            default=None,
        )

    def _within(self, word: _Word, seen: _Seen) -> bool:
        until_s = seen.seen_s if seen.blind else seen.seen_s + _WORDS_WITHIN_S
        return seen.since_s - _STAMP_S <= word.at_s <= until_s

    def _told(self, seen: _Seen, silence: bool) -> Change:
        """One change, by the words that suit it; each word is used once."""
        event, stamp = self._find(self._events, seen), self._find(self._stamps, seen)
        for words, used in ((self._events, event), (self._stamps, stamp)):
            if used is not None:
                words.remove(used)
        word = event or stamp
        if word is None:
            late_s = seen.seen_s - seen.since_s if seen.blind else None
            reason, message = (RescaleReason.NOT_BY_AUTOSCALER, _NOT_ITS_OWN) if silence else (None, None)
            return _rescale(seen, seen.seen_s, reason, message, late_s)
        # within its second, the moment at which the change was seen says more than the stamp
        at_s = seen.seen_s if seen.seen_s < word.at_s + _STAMP_S else word.at_s
        return _rescale(seen, at_s, RescaleReason.BY_AUTOSCALER, word.message)

    def _in_a_gap(self, seen: _Seen, silence: bool) -> Iterator[Change]:
        """The changes of a time in which nobody looked, as far as events tell of them; then what is left."""
        words = sorted((each for each in self._events if self._within(each, seen)), key=lambda word: word.at_s)
        last = max((number for number, word in enumerate(words) if word.size == seen.after), default=len(words) - 1)
        for word in words[: last + 1]:
            if word.size != seen.before:
                yield self._told(_Seen(seen.before, word.size, word.at_s, word.at_s + _STAMP_S, blind=True), silence)
                seen = _Seen(word.size, seen.after, word.at_s, seen.seen_s, blind=True)
        if seen.before != seen.after:
            yield self._told(seen, silence)


def new_size(event: Raw) -> tuple[int, str] | None:
    """The count that a SuccessfulRescale event of an HPA speaks of, and its words; None for another event."""
    if event.get("reason") != RescaleReason.BY_AUTOSCALER:
        return None
    said = str(event.get("message") or event.get("note") or "")
    found = re.match(r"New size: (\d+);", said)
    return (int(found[1]), said) if found else None


def _rescale(seen: _Seen, at_s: float, reason: str | None, message: str | None, late_s: float | None = None) -> Change:
    data: dict[str, Any] = {"before": seen.before, "after": seen.after}
    if late_s is not None:
        message = f"{message or 'the count changed'} (at some time in the {late_s:.0f} s before it was seen)"
        data["late_s"] = round(late_s, 3)
    elif seen.blind:
        message = f"{message or 'told by the status'} (in a time without the watch)"
    return Change(unix_s=at_s, kind=EventKind.HPA_RESCALE, reason=reason, message=message, data=data)
