"""Describes the server that requests are sent to, finds its model and opens connections to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import SettingsError, TargetError
from loadgen.base.proxies import proxy_for, without_credentials
from loadgen.base.text import clean
from loadgen.base.urls import parse_url
from loadgen.dataset.run_info import ConnectionInfo
from loadgen.protocols import triton_grpc, triton_http
from loadgen.protocols.answer import Client
from loadgen.protocols.detect import ControlPlane, Model, find_model
from loadgen.protocols.openai import CALLS, OpenAiControlPlane, OpenAiModel, choose_model
from loadgen.protocols.triton_grpc import GrpcClient, GrpcControlPlane
from loadgen.protocols.triton_http import HttpClient, HttpControlPlane
from loadgen.protocols.wire.client import WireClient, grpc_client, http_client, openai_client
from loadgen.protocols.wire.http2_channel import MAX_STREAMS
from loadgen.scenario.settings import API_PATH, OPENAI_CALL_PATH, OpenAiCall, WireProtocol

# Triton's default ports; Triton has no HTTPS, so there a proxy on port 443 is assumed
_DEFAULT_PORT = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 443}
_OPENAI_PORT = {"http": 80, "https": 443}

AnyModel = Model | OpenAiModel
"""A model under test."""

ClientName = Literal["built-in", "reference"]
"""The client of this package, or those of tritonclient (gRPC) and geventhttpclient (HTTP)."""


def connections(protocol: WireProtocol, client: ClientName, in_flight: int) -> int:
    """Return how many connections a load generator needs for so many requests in flight.

    A connection over gRPC carries many; while it is replaced because of its age, there are two in its place.
    """
    if protocol != "grpc" or client == "reference":
        return in_flight
    return 2 * -(-in_flight // MAX_STREAMS)


def model_from_message(message: Mapping[str, Any]) -> AnyModel:
    """Build a model from the plain values of a Locust message."""
    return OpenAiModel(**message) if "call" in message else Model.from_message(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that requests are sent to.

    Attributes:
        address: `host:port`.
        protocol: Wire protocol.
        tls: Whether the connection is encrypted.
        connection: Headers, certificates, path and proxy of the connection.
        client: Client that sends requests.
    """

    address: str
    protocol: WireProtocol
    tls: bool = False
    connection: Connection = DIRECT
    client: ClientName = "built-in"

    @classmethod
    def parse(cls, url: str, protocol: WireProtocol, connection: Connection = DIRECT) -> "Endpoint":
        """Parse a URL such as `http://host:8000` or `grpcs://host/path`.

        Ports default to Triton's, that of https to 443; with the protocol `openai` to 80 and 443.

        Args:
            url: The URL.
            protocol: Wire protocol.
            connection: Headers and certificates; the URL adds its path, and the environment the proxy.

        Raises:
            SettingsError: the URL is invalid, or the environment names a proxy that cannot be used.
        """
        ports, api = (_OPENAI_PORT, OPENAI_CALL_PATH) if protocol == "openai" else (_DEFAULT_PORT, API_PATH)
        example = "http://127.0.0.1:8000/v1" if protocol == "openai" else f"{protocol}://127.0.0.1:{ports[protocol]}"
        try:
            target = parse_url(url, schemes=ports, example=example, path=True, api=api)
        except ValueError as error:
            raise SettingsError(f"target {error}") from None
        tls = target.scheme.endswith("s")
        try:
            proxy = proxy_for(target.host, target.port or ports[target.scheme], tls=tls)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        return cls(
            address=target.address(ports[target.scheme]),
            protocol=protocol,
            tls=tls,
            connection=replace(connection, path=target.path, proxy=proxy),
        )

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> "Endpoint":
        """Build an endpoint from plain values, as `dataclasses.asdict` returns them."""
        return cls(**{**message, "connection": Connection(**message["connection"])})

    def connection_info(self) -> ConnectionInfo | None:
        """Return what `run.json` records about the connection, without any secret; None for a direct, plain one."""
        connection = self.connection
        if connection == DIRECT:
            return None
        return ConnectionInfo(
            headers=tuple(name for name, _ in connection.headers),
            ca_file=connection.ca_file,
            insecure=connection.insecure and self.tls,
            client_cert=connection.client_cert,
            path=connection.path,
            proxy=without_credentials(connection.proxy) if connection.proxy else None,
        )

    def find_model(
        self,
        *,
        requested: str | None,
        stream: bool,
        inputs: Mapping[str, object] | None = None,
        openai_call: OpenAiCall = "chat",
    ) -> tuple[AnyModel, str]:
        """Return the model to test, and the server's name and version.

        Args:
            requested: Name of the model that the user requested, if any.
            stream: Whether answers are to be streamed.
            inputs: Values of further inputs of the model, by name.
            openai_call: Call of requests, with the protocol `openai`.

        Raises:
            TargetError: the server is unreachable, does not speak the protocol, or has no compatible model.
        """
        if self.protocol == "openai":
            return self._find_openai_model(requested, openai_call, inputs or {})
        plane = self._control_plane()
        try:
            checked: ControlPlane = plane
            model = find_model(checked, requested=requested, stream=stream, inputs=inputs)
        finally:
            plane.close()
        if self.protocol == "http" and (nested := [tensor.name for tensor in model.inputs if tensor.is_nested]):
            raise TargetError(
                f"inputs of the scenario: {', '.join(nested)} has several dimensions, and Triton's generate call takes "
                f"one: send the load over gRPC (protocol='grpc')"
            )
        return model, clean(f"{plane.server.get('name', 'unknown')} {plane.server.get('version', '')}")

    def _find_openai_model(
        self, requested: str | None, call: OpenAiCall, inputs: Mapping[str, object]
    ) -> tuple[OpenAiModel, str]:
        plane = OpenAiControlPlane(self.address, tls=self.tls, connection=self.connection)
        try:
            models = plane.models()
        finally:
            plane.close()
        model = choose_model(models, requested=requested, call=call, inputs=inputs)
        return model, f"OpenAI API ({models[model.name]})"

    def is_triton(self) -> bool:
        """Whether a Triton server answers; an open connection is not enough, as some proxies accept any address."""
        try:
            self._control_plane().close()
        except TargetError:
            return False
        return True

    def _control_plane(self) -> GrpcControlPlane | HttpControlPlane:
        if self.protocol == "grpc":
            return GrpcControlPlane(self.address, tls=self.tls, connection=self.connection)
        return HttpControlPlane(self.address, tls=self.tls, connection=self.connection)

    def connect(self, model: AnyModel, *, stream: bool) -> Client:
        """Open a connection that sends one request at a time."""
        if self.client == "built-in" or isinstance(model, OpenAiModel):
            return self.open(model, stream=stream)
        if self.protocol == "grpc":
            return GrpcClient(self.address, model, stream=stream, tls=self.tls, connection=self.connection)
        return HttpClient(self.address, model, stream=stream, tls=self.tls, connection=self.connection)

    def open(self, model: AnyModel, *, stream: bool) -> WireClient:
        """Return the built-in client, which sends any number of requests at a time."""
        if isinstance(model, OpenAiModel):
            return openai_client(self.address, model, stream=stream, tls=self.tls, connection=self.connection)
        create = grpc_client if self.protocol == "grpc" else http_client
        return create(self.address, model, stream=stream, tls=self.tls, connection=self.connection)

    def call_name(self, model: AnyModel, *, stream: bool) -> str:
        """Return the name of the inference call, as in Triton's or OpenAI's documentation."""
        if isinstance(model, OpenAiModel):
            return CALLS[model.call]
        if self.protocol == "grpc":
            return triton_grpc.call_name(model, stream=stream)
        return triton_http.call_name(stream=stream)
