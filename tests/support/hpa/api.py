"""The API server as the recorder sees it: calls, times, merge patches."""

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
    """The API server, asked by its admin."""

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
        """What it answers.

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
    """Seconds since a whole second, so that the API's times are whole numbers on its axis."""

    def __init__(self) -> None:
        self._zero_s = int(time.time())

    def now(self) -> float:
        """Seconds by now, to the millisecond."""
        return round(time.time() - self._zero_s, 3)

    def text(self, seconds: float) -> str:
        """A time as Kubernetes writes it."""
        return datetime.fromtimestamp(self._zero_s + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def seconds(self, text: str) -> float:
        """The reverse."""
        return datetime.fromisoformat(text).timestamp() - self._zero_s


def merged(target: Any, patch: Any) -> Any:
    """What a merge patch makes of a document (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
