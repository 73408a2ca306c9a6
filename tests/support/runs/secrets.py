"""Searches everything that a run wrote for secrets, also inside compressed tables and in the usual encodings."""

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq

from loadgen.local.leftovers import SHARED_MEMORY


def places_of(secret: str, *folders: Path) -> list[str]:
    """Return the files below these folders, and the names in shared memory, that have a secret in any encoding."""
    needles = [secret.encode(), quote(secret, safe="").encode(), base64.b64encode(secret.encode()).rstrip(b"=")]
    texts = [(str(path), text) for folder in folders for path, text in _texts(folder)]
    texts += [(str(path), path.name.encode()) for path in SHARED_MEMORY.iterdir()]
    return sorted({place for place, text in texts if any(needle in text for needle in needles)})


def _texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the name of each file, its bytes, and the values of its rows if it is a table."""
    for path in folder.rglob("*"):
        yield path, str(path).encode()
        if path.is_file():
            yield path, path.read_bytes()
            if path.suffix == ".parquet":
                yield path, str(pq.read_table(path).to_pydict()).encode()
