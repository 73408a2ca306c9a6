"""Opens HTTP connections of the standard library, directly or through a proxy."""

import base64
import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit


class HttpConnection:
    """A connection to one server.

    Args:
        host: Host name, or IP address without brackets.
        port: Port of the server.
        timeout_s: Timeout of every operation of its socket.
        tls: TLS context; None for an unencrypted connection.
        proxy: URL of the proxy, `http://[user:password@]host:port`; None for a direct connection.

    Attributes:
        raw: The connection of the standard library.
    """

    def __init__(
        self, host: str, port: int, *, timeout_s: float, tls: ssl.SSLContext | None, proxy: str | None = None
    ) -> None:
        via = urlsplit(proxy) if proxy else None
        to_host, to_port = (via.hostname or "", via.port) if via else (host, port)
        self._prefix, self._headers = "", {}
        authorization = _proxy_authorization(via.username, via.password) if via else {}
        if tls is not None:
            self.raw: http.client.HTTPConnection = http.client.HTTPSConnection(
                to_host, to_port, timeout=timeout_s, context=tls
            )
            if via:
                self.raw.set_tunnel(host, port, headers=authorization)
        else:
            self.raw = http.client.HTTPConnection(to_host, to_port, timeout=timeout_s)
            if via:  # a proxy forwards an unencrypted request by its whole URL
                bracketed = f"[{host}]" if ":" in host else host
                self._prefix = f"http://{bracketed}:{port}"
                self._headers = {"Host": f"{bracketed}:{port}", **authorization}

    def get(self, path: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Send a GET request and return its response; `headers` take precedence over those of the connection."""
        names = set(map(str.lower, headers))
        own = {name: value for name, value in self._headers.items() if name.lower() not in names}
        self.raw.request("GET", self._prefix + path, headers={**own, **headers})
        return self.raw.getresponse()

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()


def _proxy_authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    token = base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {token}"}
