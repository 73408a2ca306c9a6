"""Turns error messages into templates, so that failures with the same cause are counted together."""

import re
from functools import lru_cache

MAX_CAUSES = 40
"""Most distinct causes that are listed; the rest is counted as `Cause.OTHER`."""

_MAX_READ = 500
"""Characters of a message that are read: an error body may have megabytes."""
_MAX_LENGTH = 160

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_CLOCK = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_HEX = "[0-9a-f]{1,4}"

# One pass with alternatives in order of precedence; a group is the text that replaces what it matches.
_VARIABLE = re.compile(
    rf"""
    # the status at the start of a cause, and one that a message names, tell causes apart
    (?P<KEPT> ^\d{{3}}:(?=\s) | \b(?:status|code|HTTP(?:/\d(?:\.\d)?)?)\b\W{{0,3}}\d{{3}}\b )
  | (?P<UUID> (?<![0-9a-z]) [0-9a-f]{{8}}-?[0-9a-f]{{4}}-?[0-9a-f]{{4}}-?[0-9a-f]{{4}}-?[0-9a-f]{{12}} (?![0-9a-z]) )
  | (?P<TIME> (?<![0-9a-z]) (?:
        \d{{4}}[-/]\d{{2}}[-/]\d{{2}}(?:[T\s]\d{{2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?{_ZONE})?
      | (?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},?\s)?(?:\d{{1,2}}[\s-]{_MONTH}[\s-]\d{{4}}|{_MONTH}\s+\d{{1,2}})
        [\s:]+{_CLOCK}{_ZONE}(?:\s\d{{4}})?
      | [IWEF]\d{{4}}\s{_CLOCK}
      | {_CLOCK}{_ZONE}
    ) (?![0-9a-z]) )
  | (?P<ADDRESS> (?<![\w:.])(?:
        (?:ipv4:)?(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?::\d+)?(?!\w)
      | (?:ipv6:)?(?:%5B|\[)[0-9a-f]{{0,4}}:[0-9a-f:.]{{0,45}}(?:%[0-9a-z]+?)?(?:%5D|\])(?::\d+)?(?!\w)
      | (?:(?:{_HEX}:){{3,7}}{_HEX} | (?:{_HEX}:){{1,6}}:[0-9a-f:]{{0,34}} | ::[0-9a-f][0-9a-f:]{{0,38}})(?![\w:])
    ) )
  # the end of a pod's name, in the alphabet that Kubernetes uses for it
  | (?P<POD> (?<=-)[bcdfghjklmnpqrstvwxz2456789]{{8,10}}-[bcdfghjklmnpqrstvwxz2456789]{{5}}(?![0-9a-z]) )
  # hexadecimal numbers, and identifiers of letters and digits
  | (?P<ID> (?<![0-9a-z])(?:
        0x[0-9a-f]+ | (?=[a-f]*\d)[0-9a-f]{{8,}}(?<!\d{{8}}) | (?=[a-z]*\d[a-z]*\d)[0-9a-z]{{16,}}(?<!\d{{16}})
    ) (?![0-9a-z]) )
  # short numbers inside names, as in llama-3.1-8b, tell models and replicas apart
  | (?P<N> (?: (?<![\w.-])-?\d+ | (?<=[_.-])\d{{3,}} ) (?:[.,]\s?\d+)*(?:e[+-]?\d+)?(?![0-9a-z]) )
    """,
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=1024)  # most failures of a run have the same few messages
def cause_template(message: str) -> str:
    """Return a message with its variable parts replaced, on one line of at most 160 characters.

    UUIDs, time stamps, addresses, ends of pod names, identifiers and numbers, which differ between failures with the
    same cause, become `UUID`, `TIME`, `ADDRESS`, `POD`, `ID` and `N`. A status code stays. The
    template of a template is itself.
    """
    text = " ".join(message[:_MAX_READ].split())
    return _VARIABLE.sub(_placeholder, text)[:_MAX_LENGTH]


def _placeholder(match: re.Match[str]) -> str:
    return match[0] if match.lastgroup == "KEPT" else str(match.lastgroup)
