"""Rules that replicas follow in Kubernetes, as functions: which one has to go, how long a crashed one waits, its name.

Sources: `ActivePods` ordering of the ReplicaSet controller (`pkg/controller/controller_utils.go`), kubelet's container
back-off (`pkg/kubelet/kubelet.go`: 10 s, doubled up to 300 s, reset after 10 minutes without a crash), and the
alphabet of generated names (`k8s.io/apimachinery/pkg/util/rand`).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadgen.dataset.stack import ReplicaPhase

# A tenth of kubelet's: a local run lasts minutes.
BACKOFF_S = 1.0
BACKOFF_MOST_S = 30.0
BACKOFF_RESET_S = 60.0
KUBELET_BACKOFF_S = 10.0

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_RANK: dict[ReplicaPhase, int] = {
    "created": 0,
    "scheduled": 1,
    "pulling": 2,
    "crashed": 3,
    "started": 3,
    "ready": 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the choice of a victim looks at.

    Attributes:
        name: Name of the replica.
        phase: Its phase; a draining one is no candidate.
        phase_since_s: Since when it is in that phase.
        crashes: How often its server crashed.
        created_s: When it was created.
    """

    name: str
    phase: ReplicaPhase
    phase_since_s: float
    crashes: int
    created_s: float


def victims(candidates: Sequence[Candidate], count: int) -> list[str]:
    """Names of the `count` replicas that go: the least far on its way to ready first, then the youngest.

    Of two equally far ones, the one that is so for the shorter time goes first, then the one with more crashes, then
    the one created later.
    """

    def order(each: Candidate) -> tuple[float, ...]:
        return _RANK[each.phase], -each.phase_since_s, -each.crashes, -each.created_s

    return [each.name for each in sorted(candidates, key=order)[:count]]


def backoff_s(crashes: int) -> float:
    """How long a server waits for its next start after this many crashes in a row: 1 s, 2 s, 4 s … 30 s."""
    return min(BACKOFF_S * 2.0 ** (crashes - 1), BACKOFF_MOST_S)


def names(run_id: str) -> Iterator[str]:
    """Pod names of one run, `triton-<hash of the template>-<5 characters>`, without end, without repetition."""
    template = _letters(run_id, 10)
    given = set()
    number = 0
    while True:
        name = f"triton-{template}-{_letters(f'{run_id}/{number}', 5)}"
        number += 1
        if name not in given:
            given.add(name)
            yield name


def _letters(text: str, count: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:count])
