"""Access of the recorder to the API server: requests, times and merge patches."""

import json
import os
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

MERGE = "application/merge-patch+json"
_TIMEOUT = aiohttp.ClientTimeout(total=20)


class Api:
    """A client of the API server with the admin's credentials."""

    def __init__(self) -> None:
        document = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._server = cluster["server"]

    async def __aenter__(self) -> "Api":
        connector = aiohttp.TCPConnector(ssl=self._context, limit=30)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """Make a request and return the response.

        Raises:
            RuntimeError: It refuses.
        """
        data, headers = None if body is None else json.dumps(body), {"Content-Type": kind}
        async with self._session.request(method, f"{self._server}{path}", data=data, headers=headers) as answer:
            document = await answer.json(content_type=None)
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {document.get('message')}")
            return document


class Clock:
    """A clock that starts at a whole second, so that times of the API are whole numbers on it."""

    def __init__(self) -> None:
        self._zero_s = int(time.time())

    def now(self) -> float:
        """Return the seconds since the start, to the millisecond."""
        return round(time.time() - self._zero_s, 3)

    def text(self, seconds: float) -> str:
        """Format a time as Kubernetes does."""
        return datetime.fromtimestamp(self._zero_s + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def seconds(self, text: str) -> float:
        """Parse a time of Kubernetes."""
        return datetime.fromisoformat(text).timestamp() - self._zero_s


def merged(target: Any, patch: Any) -> Any:
    """Apply a merge patch to a document (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
