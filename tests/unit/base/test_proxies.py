"""The proxy of a connection, as the environment names it."""

import pytest

from loadgen.base.proxies import bypasses, is_loopback, proxy_for, through, without_credentials

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),  # Linux connects to itself
        ("localhost", True),
        ("LOCALHOST.", True),
        ("triton.localhost", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Addresses and names of this machine, and no others that look like them."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("variables", "tls", "proxy"),
    [
        ({}, False, None),
        ({"http_proxy": PROXY}, False, PROXY),
        ({"HTTP_PROXY": PROXY}, False, PROXY),
        ({"http_proxy": PROXY}, True, None),
        ({"HTTPS_PROXY": PROXY}, True, PROXY),
        ({"https_proxy": PROXY}, False, None),
        ({"ALL_PROXY": PROXY}, True, PROXY),
        ({"all_proxy": "http://other:1", "http_proxy": PROXY}, False, PROXY),
        ({"http_proxy": "proxy.example:3128"}, False, PROXY),
        ({"http_proxy": "http://proxy.example/"}, False, "http://proxy.example:80"),
        ({"http_proxy": "http://u:p%40@[fd00::1]:1"}, False, "http://u:p%40@[fd00::1]:1"),
        ({"http_proxy": PROXY, "no_proxy": "triton.example"}, False, None),
        ({"http_proxy": PROXY, "NO_PROXY": "a, .example"}, False, None),
        ({"http_proxy": ""}, False, None),
    ],
)
def test_variables(variables: dict[str, str], tls: bool, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In lower and in upper case; the more specific one goes before all_proxy."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("triton.example", 8000, tls=tls) == proxy
    assert proxy_for("127.0.0.1", 8000, tls=tls) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "listed"),
    [
        ("*", "triton.example", True),
        ("triton.example", "triton.example", True),
        ("Triton.Example", "TRITON.example", True),
        ("example", "triton.example", True),
        (".example", "triton.example", True),
        ("*.example", "triton.example", True),
        ("riton.example", "triton.example", False),
        ("triton.example:8000", "triton.example", True),
        ("triton.example:8001", "triton.example", False),
        ("10.0.0.0/8,other", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8000", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]:8000", "fd00::1", True),
        (" , ", "triton.example", False),
        ("", "triton.example", False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, listed: bool) -> None:
    """Hosts, domains, addresses and networks, with or without the port 8000."""
    assert bypasses(host, 8000, no_proxy) is listed


@pytest.mark.parametrize(
    "proxy", ["socks5://u:pa55word@p:1", "https://u:pa55word@p:1", "http://u:pa55word@:1", "http://p:x"]
)
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the variable and an example, without the password."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ValueError, match=r"^\$HTTP_PROXY .*: write it like http://.*NO_PROXY$") as caught:
        proxy_for("triton.example", 8000, tls=False)
    assert "pa55word" not in str(caught.value)


def test_a_proxy_in_a_message() -> None:
    """Without user and password."""
    assert without_credentials("http://u:p%40@proxy.example:3128") == PROXY
    assert through("http://u:p@proxy.example:3128") == f" through the proxy {PROXY}"
    assert through(None) == ""
