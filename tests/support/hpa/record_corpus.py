"""Records what a real API server says about every manifest of the corpus.

    loadgen sandbox up --name corpus
    loadgen sandbox exec --name corpus -- env PYTHONPATH=tests python -m support.hpa.record_corpus
    loadgen sandbox down --name corpus

Every manifest goes through kubectl's dry run on the server, as a user's file does: kubectl reads it, and the server
decodes (strictly), defaults and validates it. Nothing is stored.
"""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support.hpa.corpus import corpus

RECORDED = Path(__file__).parents[2] / "unit/autoscale/recorded/manifests-v1.37.1.jsonl"
_COMMAND = ("kubectl", "create", "--dry-run=server", "--validate=strict", "--output=json", "--filename=-")


def _record(item: tuple[str, dict[str, Any]]) -> str:
    name, manifest = item
    result = subprocess.run(
        _COMMAND, input=json.dumps(manifest), capture_output=True, text=True, timeout=60, check=False
    )
    verdict: dict[str, Any] = {"name": name, "manifest": manifest}
    if result.returncode == 0:
        admitted = json.loads(result.stdout)
        verdict |= {"admitted": {"metadata": {"name": admitted["metadata"]["name"]}, "spec": admitted["spec"]}}
    else:
        verdict |= {"refused": result.stderr.strip()[:300]}
    return json.dumps(verdict, ensure_ascii=False)


def main() -> None:
    """Write the verdicts, one manifest a line."""
    with ThreadPoolExecutor(2) as threads:
        lines = list(threads.map(_record, corpus().items()))
    RECORDED.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
