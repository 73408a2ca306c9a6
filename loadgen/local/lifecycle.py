"""Applies Kubernetes' rules to replicas: which ones a scale-down deletes, crash back-off, generated names.

Sources: `ActivePods` ordering of the ReplicaSet controller (`pkg/controller/controller_utils.go`), kubelet's container
back-off (`pkg/kubelet/kubelet.go`: 10 s, doubled up to 300 s, reset after 10 minutes without a crash), and the
alphabet of generated names (`k8s.io/apimachinery/pkg/util/rand`).
"""

import hashlib
from collections.abc import Iterator, Sequence

from loadgen.dataset.stack import ReplicaPhase
from loadgen.local.replica import Replica

# A tenth of kubelet's: a local run lasts minutes.
BACKOFF_S = 1.0
BACKOFF_MAX_S = 30.0
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


def replicas_to_delete(replicas: Sequence[Replica], count: int) -> list[str]:
    """Choose the replicas that a scale-down deletes, and return their names.

    Replicas in an earlier phase go first, then those that entered their phase later, then those with more crashes, then
    those created later.

    Args:
        replicas: Replicas that are not draining.
        count: How many to delete.
    """

    def order(each: Replica) -> tuple[float, ...]:
        return _RANK[each.phase], -each.since_s, -each.crashes, -each.created_s

    return [each.name for each in sorted(replicas, key=order)[:count]]


def backoff_s(crashes: int) -> float:
    """Return the delay before the next start of a server after this many crashes in a row: 1 s, 2 s, 4 s … 30 s."""
    return min(BACKOFF_S * 2.0 ** (crashes - 1), BACKOFF_MAX_S)


def pod_names(run_id: str) -> Iterator[str]:
    """Generate the pod names of a run, `triton-<hash of the template>-<5 characters>`, without end or repetition."""
    template = _letters(run_id, 10)
    used = set()
    number = 0
    while True:
        name = f"triton-{template}-{_letters(f'{run_id}/{number}', 5)}"
        number += 1
        if name not in used:
            used.add(name)
            yield name


def _letters(text: str, count: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:count])
