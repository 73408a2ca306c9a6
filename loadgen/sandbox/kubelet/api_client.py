"""An asynchronous client of the API server: plain JSON, one connection pool, watches that reconnect."""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

import aiohttp

from loadgen.base.errors import LoadgenError
from loadgen.sandbox.kubelet.config import KubeletConfig
from loadgen.sandbox.kubelet.objects import Json

STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
MERGE_PATCH = "application/merge-patch+json"
_CALL_TIMEOUT_S = 15.0
_WATCH_S = 300
_FIRST_RETRY_S = 0.2
_MAX_RETRY_S = 8.0


class ApiError(LoadgenError):
    """The API server refused a call or could not be reached.

    Attributes:
        status: HTTP status; 0 without a response.
        reason: Reason of the API's Status object, such as `NotFound`.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class ApiClient:
    """A client with a node's certificate; an asynchronous context manager."""

    def __init__(self, config: KubeletConfig) -> None:
        self._server = config.server.rstrip("/")
        tls = ssl.create_default_context(cafile=str(config.ca_file))
        tls.load_cert_chain(config.cert_file, config.key_file)
        self._connector = aiohttp.TCPConnector(ssl=tls, limit=64, keepalive_timeout=60)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ApiClient":
        self._session = aiohttp.ClientSession(
            connector=self._connector, headers={"User-Agent": "kubelet/v1.37.1", "Accept": "application/json"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Get an object or a list."""
        return await self.call("GET", path, query=query)

    async def create(self, path: str, body: Json) -> Json:
        """Create an object; return it as the API server stored it."""
        return await self.call("POST", path, body=body)

    async def patch(self, path: str, body: Json, kind: str = STRATEGIC_MERGE_PATCH) -> Json:
        """Patch an object; return it as the API server stored it."""
        return await self.call("PATCH", path, body=body, content_type=kind)

    async def delete(self, path: str, *, uid: str, grace_period_s: int = 0) -> None:
        """Delete the object with this UID; does nothing when it was deleted or replaced."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": grace_period_s,
            "preconditions": {"uid": uid},
        }
        try:
            await self.call("DELETE", path, body=body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """Make one request and decode the response.

        Raises:
            ApiError: the request was refused, or there was no response in time.
        """
        assert self._session, "used outside of the context manager"
        try:
            async with self._session.request(
                method,
                self._server + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers={} if body is None else {"Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=_CALL_TIMEOUT_S),
            ) as response:
                answer = await response.read()
                if response.status >= 400:
                    raise _refusal(method, path, response.status, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ApiError(f"the API server did not answer {method} {path} ({reason}); is it running?") from error
        decoded: Json = json.loads(answer)
        return decoded

    async def watch(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[tuple[str, Json]]:
        """List objects and watch them until the caller is cancelled.

        Yields:
            `("LISTED", list)` first and whenever changes may have been missed, else the type of a change (`ADDED`,
            `MODIFIED`, `DELETED`) and the object.
        """
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                listed = await self.get(path, query)
                yield "LISTED", listed
                version = str(listed["metadata"]["resourceVersion"])
                while True:
                    async for kind, item in self._changes(path, {**(query or {}), "resourceVersion": version}):
                        retry_s = _FIRST_RETRY_S
                        version = str(item["metadata"]["resourceVersion"])
                        if kind != "BOOKMARK":
                            yield kind, item
                    await asyncio.sleep(_FIRST_RETRY_S)  # a server that shuts down ends every new watch at once
            except ApiError as error:
                if error.status == 410:
                    continue  # the resource version is too old: list again at once
            await asyncio.sleep(retry_s * random.uniform(0.8, 1.2))  # noqa: S311 (spreads reconnections)
            retry_s = min(2 * retry_s, _MAX_RETRY_S)

    async def _changes(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Json]]:
        assert self._session, "used outside of the context manager"
        full = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_S)}
        # bookmarks arrive about once a minute, so a connection that is silent for much longer is dead
        timeout = aiohttp.ClientTimeout(total=_WATCH_S + 30, sock_connect=_CALL_TIMEOUT_S, sock_read=150)
        try:
            async with self._session.get(self._server + path, params=full, timeout=timeout) as response:
                if response.status >= 400:
                    raise _refusal("WATCH", path, response.status, await response.read())
                incomplete = b""
                async for chunk in response.content.iter_any():
                    *lines, incomplete = (incomplete + chunk).split(b"\n")
                    for line in filter(None, lines):
                        change = json.loads(line)
                        if change["type"] == "ERROR":
                            raise ApiError(
                                f"the watch of {path} ended: {change['object'].get('message')}",
                                status=int(change["object"].get("code", 500)),
                            )
                        yield str(change["type"]), change["object"]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(f"the watch of {path} broke ({error}); is the API server running?") from error


def _refusal(method: str, path: str, status: int, answer: bytes) -> ApiError:
    message, reason = answer.decode(errors="replace").strip(), ""
    try:
        status_object: Any = json.loads(answer)
        message, reason = status_object.get("message", message), status_object.get("reason", "")
    except (ValueError, AttributeError):
        pass
    return ApiError(message or f"{method} {path} was refused with {status}", status=status, reason=reason)
