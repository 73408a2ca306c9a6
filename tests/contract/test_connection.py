"""One suite for every protocol: headers, paths, certificates and proxies. Needs only loopback."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import SettingsError, TargetError
from loadgen.protocols.answer import Answer
from loadgen.protocols.endpoint import ClientName, Endpoint
from loadgen.protocols.http_connection import tls_context
from loadgen.protocols.reference import Script
from loadgen.scenario.settings import WireProtocol
from support.servers.gateway import Certificates, Gateway, make_certificates, serve_gateway
from support.servers.proxy import Proxy, proxy_to

SECRET = "s3cret-value"
KEY = Connection(headers=(("X-Key", SECRET),))
CLIENTS: tuple[ClientName, ...] = ("built-in", "reference")
PROXIES = [f"{name}_proxy" for name in ("http", "https", "all", "no", "grpc")]


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> WireProtocol:
    name: WireProtocol = request.param
    return name


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answer_of(endpoint: Endpoint, *, stream: bool = True) -> Answer:
    """Detect the model and send one request with every client, over one endpoint; all have the same outcome."""
    model, _ = endpoint.find_model(requested=None, stream=stream)
    answers = []
    for name in CLIENTS:
        with closing(replace(endpoint, client=name).connect(model, stream=stream)) as client:
            answers.append(client.infer(Script(tokens=2).prompt(), 8, 10.0))
    assert len({answer.outcome for answer in answers}) == 1, answers
    return answers[0]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with serve_gateway(Gateway(secret=SECRET, path="/team/triton")) as running:
        yield running


def url(protocol: str, gateway: Gateway, path: str = "/team/triton/") -> str:
    return f"{protocol}://127.0.0.1:{gateway.ports[protocol]}{path}"


@pytest.mark.parametrize("stream", [True, False])
def test_headers_and_path_reach_every_call(protocol: WireProtocol, gateway: Gateway, stream: bool) -> None:
    """Control plane and load, also after the endpoint went to a worker as a message."""
    endpoint = Endpoint.parse(url(protocol, gateway), protocol, KEY)
    assert answer_of(endpoint, stream=stream).outcome == "ok"
    assert answer_of(Endpoint.from_message(asdict(endpoint)), stream=stream).outcome == "ok"


def test_missing_credentials_are_one_sentence_with_the_flag(protocol: WireProtocol, gateway: Gateway) -> None:
    """A server that demands a header, as a gateway does with 401."""
    with pytest.raises(TargetError, match=r"requires credentials .*: give credentials with --header '") as caught:
        answer_of(Endpoint.parse(url(protocol, gateway), protocol))
    assert "\n" not in str(caught.value)


def test_refused_credentials_are_one_sentence_without_them(protocol: WireProtocol, gateway: Gateway) -> None:
    """The gateway repeats the value, as some do; the message does not."""
    wrong = Connection(headers=(("X-Key", "another-value"),))
    with pytest.raises(TargetError, match=r"403|PERMISSION_DENIED") as caught:
        answer_of(Endpoint.parse(url(protocol, gateway), protocol, wrong))
    assert "check --header" in str(caught.value)
    assert "another-value" not in f"{caught.value!s} {caught.value!r}"


@pytest.mark.parametrize("stream", [True, False])
def test_a_cause_repeats_no_value(client: ClientName, protocol: WireProtocol, gateway: Gateway, stream: bool) -> None:
    """Credentials that are refused during the load: the recorded cause has no value of a header."""
    endpoint = Endpoint.parse(url(protocol, gateway), protocol, KEY)
    model, _ = endpoint.find_model(requested=None, stream=stream)
    with closing(replace(endpoint, client=client).connect(model, stream=stream)) as opened:
        gateway.secret = "a new one"
        answer = opened.infer(Script().prompt(), 8, 10.0)
    assert answer.outcome == "error"
    assert answer.cause is not None
    assert SECRET not in answer.cause
    assert "key …" in answer.cause


def test_no_text_of_an_endpoint_has_a_secret(protocol: WireProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its representation, which a traceback shows, nor what run.json records."""
    monkeypatch.setenv("HTTP_PROXY", "http://user:pa55word@proxy.example:3128")
    endpoint = Endpoint.parse(f"{protocol}://triton.example", protocol, KEY)
    info = endpoint.connection_info()
    assert info is not None
    assert (info.headers, info.proxy) == (("X-Key",), "http://proxy.example:3128")
    for text in (repr(endpoint), info.model_dump_json()):
        assert SECRET not in text
        assert "pa55word" not in text


def test_the_host_header_names_the_authority(protocol: WireProtocol, gateway: Gateway) -> None:
    """A gateway that routes by name, reached by its address."""
    named = replace(KEY, headers=(*KEY.headers, ("Host", "triton.example")))
    assert answer_of(Endpoint.parse(url(protocol, gateway), protocol, named)).outcome == "ok"
    if protocol == "http":
        assert set(gateway.hosts) == {"triton.example"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[Gateway]:
    with serve_gateway(Gateway(), certificates) as running:
        yield running


@pytest.fixture
def connect(protocol: WireProtocol, secure: Gateway) -> Iterator[Callable[..., Answer]]:
    def _connect(connection: Connection, host: str = "localhost") -> Answer:
        return answer_of(Endpoint.parse(f"{protocol}s://{host}:{secure.ports[protocol]}", protocol, connection))

    yield _connect
    tls_context.cache_clear()


def test_a_private_ca_and_a_client_certificate(connect: Callable[..., Answer], certificates: Certificates) -> None:
    """Trusted only with the CA's file; the server's certificate must name the host."""
    known = Connection(ca_file=certificates.ca, client_cert=certificates.client)
    assert connect(known).outcome == "ok"
    for connection, host in (
        (replace(known, ca_file=None), "localhost"),
        (replace(known, client_cert=None), "localhost"),
        (known, "127.0.0.1"),
    ):
        with pytest.raises(TargetError, match="cannot reach"):
            connect(connection, host)


def test_an_unverified_certificate(connect: Callable[..., Answer], certificates: Certificates) -> None:
    """`insecure` accepts an unknown authority and another name, over both protocols."""
    assert connect(Connection(insecure=True, client_cert=certificates.client), "127.0.0.1").outcome == "ok"


def test_certificates_that_cannot_be_used(tmp_path: Path, certificates: Certificates) -> None:
    """The message names flag and file, and does not wait for a password."""
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    for connection, flag in (
        (Connection(ca_file=str(tmp_path / "none.pem")), "--ca-file"),
        (Connection(ca_file=str(broken)), "--ca-file"),
        (Connection(client_cert=str(broken)), "--client-cert"),
        (Connection(client_cert=certificates.ca), "--client-cert"),
    ):
        with pytest.raises(SettingsError, match=flag):
            connection.tls_context()


@pytest.fixture
def proxy(protocol: WireProtocol, ports: dict[str, int]) -> Iterator[Proxy]:
    with proxy_to(ports[protocol]) as running:
        yield running


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_requests_go_through_the_proxy_of_the_environment(
    protocol: WireProtocol, proxy: Proxy, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same variables hold for both protocols, with the credentials in the URL; the host needs no address here."""
    monkeypatch.setenv(variable, proxy.url.replace("//", "//user:pa%2Fss@"))
    endpoint = Endpoint.parse(f"{protocol}://triton.example:8000", protocol)
    assert answer_of(endpoint).outcome == "ok"
    assert all("triton.example:8000" in line for line in proxy.requests)
    assert set(proxy.authorizations) == {"Basic dXNlcjpwYS9zcw=="}


def test_tls_goes_through_a_tunnel(
    protocol: WireProtocol, secure: Gateway, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https_proxy, not http_proxy; also for the handshake that finds out an unverified certificate."""
    with proxy_to(secure.ports[protocol]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        known = Connection(insecure=True, client_cert=certificates.client)
        answer = answer_of(Endpoint.parse(f"{protocol}s://triton.example:8443", protocol, known))
        tls_context.cache_clear()
        assert answer.outcome == "ok"
        assert proxy.requests
        assert {line.split()[0] for line in proxy.requests} == {"CONNECT"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_never_goes_through_a_proxy(
    protocol: WireProtocol, ports: dict[str, int], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a URL nor an address of our own servers, whatever the variables; this proxy is dead."""
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:1" if name != "no_proxy" else "corp.example")
    assert Endpoint.parse(f"{protocol}://{host}:{ports[protocol]}", protocol).connection == DIRECT
    for endpoint in (
        Endpoint.parse(f"{protocol}://{host}:{ports[protocol]}", protocol),
        Endpoint(address=f"127.0.0.1:{ports[protocol]}", protocol=protocol),
    ):
        assert answer_of(endpoint).outcome == "ok"


def test_a_dead_proxy_is_named(protocol: WireProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that the way led through a proxy, without its password."""
    monkeypatch.setenv("http_proxy", "http://user:pa55word@127.0.0.1:1")
    with pytest.raises(TargetError, match=r"through the proxy http://127\.0\.0\.1:1 ") as caught:
        answer_of(Endpoint.parse(f"{protocol}://triton.example:8000", protocol))
    assert "pa55word" not in str(caught.value)
