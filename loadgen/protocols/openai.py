"""OpenAI's API: the model to test on a server that has it, and the calls of that model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import TargetError
from loadgen.base.proposals import listed, meant
from loadgen.base.text import clean
from loadgen.protocols.http_control import HttpControl
from loadgen.scenario.settings import OpenAiCall

CALLS: Final[Mapping[OpenAiCall, str]] = {"chat": "chat/completions", "completions": "completions"}
"""Path of each call below that of the API."""
RESERVED: Final = frozenset({"model", "messages", "prompt", "stream", "max_tokens", "max_completion_tokens"})
"""Fields of a request that the load fills itself."""
_MAX_NAME = 255
_MAX_CHOICES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiModel:
    """A model of a server with OpenAI's API.

    Attributes:
        name: Its id on the server.
        call: The call that requests are sent to.
        inputs: Further fields of every request.
        emulated: None: such a server does not say whether its engine is emulated.
    """

    name: str
    call: OpenAiCall = "chat"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    emulated: None = None

    @property
    def choices(self) -> int:
        """Number of choices that an answer has."""
        n = self.inputs.get("n", 1)
        return n if isinstance(n, int) else 1


def api_path(path: str) -> str:
    """Return the path of the API, for the path of a URL that may end with it: `/v1`, `/gateway/v1`."""
    return path if path.endswith("/v1") else f"{path}/v1"


class OpenAiControlPlane:
    """The list of models of a server with OpenAI's API."""

    def __init__(self, address: str, *, tls: bool = False, connection: Connection = DIRECT) -> None:
        self._address = address
        self._path = api_path(connection.path)
        self._http = HttpControl(
            address,
            tls=tls,
            connection=connection,
            path="",
            kind="a server with OpenAI's API",
            hint="check host, port and path (such as http://127.0.0.1:8000/v1)",
            question="is it a server with OpenAI's API? check host, port and path (such as http://127.0.0.1:8000/v1)",
        )

    def models(self) -> dict[str, str]:
        """Return the ids of the models, each with its owner, which is usually the name of the server's program.

        Raises:
            TargetError: the server is unreachable, or has no such API.
        """
        answer = self._http.ask("GET", f"{self._path}/models")
        models = models_in(answer)
        if models is None:
            raise TargetError(
                f"the HTTP server at {self._address} is not a server with OpenAI's API: {self._path}/models gives no "
                f"list of models; check host, port and path (such as http://127.0.0.1:8000/v1)"
            )
        return models

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def models_in(answer: object) -> dict[str, str] | None:
    """Return the ids of the models in an answer of `/models` with their owners; None if it is not a list of models."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        return None
    models: dict[str, str] = {}
    for entry in data:
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            return None
        if 0 < len(name) <= _MAX_NAME and name.isprintable():
            owner = entry.get("owned_by")
            models[name] = clean(owner, 64) if isinstance(owner, str) and owner else "unknown"
    return models


def choose_model(
    models: Mapping[str, str], *, requested: str | None, call: OpenAiCall, inputs: Mapping[str, object]
) -> OpenAiModel:
    """Choose the model to test.

    Args:
        models: The models of the server.
        requested: Name of the model that the user requested, if any.
        call: The call that requests are sent to.
        inputs: Further fields of every request.

    Raises:
        TargetError: the server has no model, or several and none is requested, or not the requested one; or the
            scenario sets a field that the load fills itself.
    """
    for name in inputs:
        if name in RESERVED:
            raise TargetError(
                f"inputs of the scenario: {name} is filled by the load itself; remove it (prompts= sets prompts and "
                f"their lengths, stream= sets streaming, model= sets the model)"
            )
    n = inputs.get("n", 1)
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MAX_CHOICES:
        raise TargetError(f"inputs of the scenario: n is the number of choices, 1 to {_MAX_CHOICES}, not {n!r:.40}")
    if not models:
        raise TargetError("the server serves no model: load one, and run again")
    if requested is not None and requested not in models:
        raise TargetError(
            f"the server has no model {requested!r}{meant(requested, models)}; it serves: {listed(sorted(models))}; "
            f"set --model to one"
        )
    if requested is None and len(models) > 1:
        raise TargetError(f"the server serves several models: {listed(sorted(models))}; set --model to one of them")
    return OpenAiModel(name=requested or next(iter(models)), call=call, inputs=dict(inputs))
