"""Finds the proxy of a connection in the environment: one rule for every protocol.

`http_proxy` holds for http and grpc, `https_proxy` for https and grpcs, `all_proxy` for the rest; `no_proxy` lists
exceptions. Names in upper case count as well. A loopback address never has a proxy.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from loadgen.base.text import clean

_DEFAULT_PORT = 80
_EXAMPLE = "write it like http://proxy.example:3128, or add the host to NO_PROXY"


def is_loopback(host: str) -> bool:
    """Whether a host name or address, with or without brackets, is this machine's own."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback or address.is_unspecified)


def proxy_for(host: str, port: int, *, tls: bool) -> str | None:
    """Return the URL of the proxy to a host, `http://[user:password@]host:port`; None for a direct connection.

    Args:
        host: Host name, or IP address without brackets.
        port: Port of the server.
        tls: Whether the connection to the server is encrypted.

    Raises:
        ValueError: the environment names a proxy that cannot be used; the message repeats no password.
    """
    proxies = getproxies_environment()
    if is_loopback(host) or bypasses(host, port, proxies.get("no", "")):
        return None
    return _usable(proxies, "https" if tls else "http")


def bypasses(host: str, port: int, no_proxy: str) -> bool:
    """Whether a value of NO_PROXY lists a host: `*`, an address or network, or a domain, each of them with `:port`."""
    name = host.strip("[]").rstrip(".").lower()
    for entry in no_proxy.lower().replace(" ", ",").split(","):
        domain, _, entry_port = entry.rpartition(":") if entry.count(":") == 1 or "]:" in entry else (entry, "", "")
        if not domain or (entry_port and entry_port != str(port)):
            continue
        domain = domain.strip("[]").removeprefix("*.").lstrip(".")
        if domain == "*" or name == domain or name.endswith(f".{domain}") or _in_network(name, domain):
            return True
    return False


def without_credentials(proxy: str) -> str:
    """Return the URL of a proxy without user and password."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def through(proxy: str | None) -> str:
    """Return a phrase such as ` through the proxy http://proxy.example:3128`; empty for a direct connection."""
    return f" through the proxy {without_credentials(proxy)}" if proxy else ""


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _usable(proxies: Mapping[str, str], scheme: str) -> str | None:
    """Return the proxy of a scheme with its port."""
    key = scheme if proxies.get(scheme) else "all"
    proxy = proxies.get(key, "").strip()
    if not proxy:
        return None
    name = f"${key.upper()}_PROXY"
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise ValueError(f"{name} is not the URL of a proxy: {_EXAMPLE}") from None
    if parts.scheme != "http":
        raise ValueError(
            f"{name} names a proxy of the kind {clean(parts.scheme, 20)}, which is not supported: {_EXAMPLE}"
        )
    if not parts.hostname:
        raise ValueError(f"{name} is not the URL of a proxy: {_EXAMPLE}")
    credentials, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{credentials}{at}{host}:{port}"
