"""Where requests go: address and protocol of a server, its model, and connections to it."""

from dataclasses import dataclass
from typing import Literal

from loadgen.base.errors import SettingsError, TargetError
from loadgen.base.urls import parse_url
from loadgen.protocols import triton_grpc, triton_http
from loadgen.protocols.answer import Client
from loadgen.protocols.detect import ControlPlane, Model, find_model
from loadgen.protocols.triton_grpc import GrpcClient, GrpcControlPlane
from loadgen.protocols.triton_http import HttpClient, HttpControlPlane

Wire = Literal["grpc", "http"]

# Triton's own ports; it has no HTTPS, so that is a proxy on the usual port
_DEFAULT_PORT = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server to send to.

    Attributes:
        address: `host:port`.
        wire: Protocol.
        tls: Whether the connection is encrypted.
    """

    address: str
    wire: Wire
    tls: bool = False

    @classmethod
    def parse(cls, url: str, wire: Wire) -> "Endpoint":
        """An endpoint from a URL such as `http://host:8000` or `grpcs://host`; ports default to Triton's, https to 443.

        Raises:
            SettingsError: not such a URL.
        """
        try:
            target = parse_url(url, schemes=_DEFAULT_PORT, example=f"{wire}://127.0.0.1:{_DEFAULT_PORT[wire]}")
        except ValueError as error:
            raise SettingsError(f"target {error}") from None
        return cls(address=target.address(_DEFAULT_PORT[target.scheme]), wire=wire, tls=target.scheme.endswith("s"))

    def find_model(self, *, wanted: str | None, stream: bool) -> tuple[Model, str]:
        """The model to drive, and the server's own name and version.

        Raises:
            TargetError: unreachable, not Triton, or no model fits.
        """
        plane = self._control_plane()
        try:
            checked: ControlPlane = plane
            model = find_model(checked, wanted=wanted, stream=stream)
        finally:
            plane.close()
        return model, f"{plane.server.get('name', 'unknown')} {plane.server.get('version', '')}".strip()

    def is_triton(self) -> bool:
        """Whether a Triton answers here: some proxies accept a connection to any address."""
        try:
            self._control_plane().close()
        except TargetError:
            return False
        return True

    def _control_plane(self) -> GrpcControlPlane | HttpControlPlane:
        if self.wire == "grpc":
            return GrpcControlPlane(self.address, tls=self.tls)
        return HttpControlPlane(self.address, tls=self.tls)

    def connect(self, model: Model, *, stream: bool) -> Client:
        """A new connection that carries one request at a time."""
        if self.wire == "grpc":
            return GrpcClient(self.address, model, stream=stream, tls=self.tls)
        return HttpClient(self.address, model, stream=stream, tls=self.tls)

    def call_name(self, model: Model, *, stream: bool) -> str:
        """Name of the call that carries a request, as the server's documentation has it."""
        if self.wire == "grpc":
            return triton_grpc.call_name(model, stream=stream)
        return triton_http.call_name(stream=stream)
