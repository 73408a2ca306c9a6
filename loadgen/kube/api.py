"""The Kubernetes API as this package asks it: by the kubeconfig or a pod's service account, raw JSON, short waits."""

import json
import os
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config
from kubernetes.config import ConfigException

from loadgen.errors import StackError, TargetError

TIMEOUT_S = 10.0
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SKEW_WITHIN_S = 3.0
_SKEW_STEP_S = 0.02

Raw = dict[str, Any]


class Answer(NamedTuple):
    """An answer of the API: HTTP status, headers in small letters, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Skew(NamedTuple):
    """By how much a clock is ahead of this machine's, ± `error_s`."""

    ahead_s: float
    error_s: float


class Api:
    """One cluster.

    Args:
        context: Context of the kubeconfig; None takes the current one.

    Attributes:
        context: Its name, or `in-cluster`.
        namespace: Namespace of the context, or of the pod.

    Raises:
        TargetError: there is no kubeconfig and no service account, or no such context.
    """

    def __init__(self, context: str | None = None) -> None:
        self._wanted = context
        self.configuration = client.Configuration()
        self.context, self.namespace = self._load()
        self.configuration.retries = urllib3.Retry(0)
        self.client = client.ApiClient(self.configuration)
        self._renewing = threading.Lock()

    def _load(self) -> tuple[str, str]:
        files = [Path(each) for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
        files = files or [Path.home() / ".kube" / "config"]
        if self._wanted is None and not any(file.is_file() for file in files) and (_TOKEN / "token").is_file():
            config.load_incluster_config(client_configuration=self.configuration)
            return "in-cluster", (_TOKEN / "namespace").read_text().strip()
        try:
            contexts, current = config.list_kube_config_contexts()
            config.load_kube_config(context=self._wanted, client_configuration=self.configuration)
        except (ConfigException, OSError, ValueError) as error:
            where = ", ".join(map(str, files))
            raise TargetError(
                f"no way to a cluster: {str(error).rstrip('.')} (kubeconfig {where}); set KUBECONFIG or --kube-context"
            ) from error
        chosen = current if self._wanted is None else next(each for each in contexts if each["name"] == self._wanted)
        return chosen["name"], chosen["context"].get("namespace") or "default"

    def renew(self) -> None:
        """Read the credentials again, as after a 401: a token may have been replaced in its file."""
        with self._renewing:
            self._load()

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Whatever the API answers to one request; a 401 is tried again with credentials that are read anew.

        Raises:
            StackError: it does not answer.
        """
        answer = self._ask(method, path, query or {}, body, timeout_s)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self.renew()
            answer = self._ask(method, path, query or {}, body, timeout_s)
        return answer

    def _ask(self, method: str, path: str, query: Mapping[str, str], body: Any, timeout_s: float) -> Answer:
        headers = {"Accept": "*/*", "User-Agent": self.client.user_agent}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self.configuration.host}{path}{'?' + urlencode(query) if query else ''}"
        try:
            answer = self.client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(total=timeout_s),
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StackError(f"the API server at {self.configuration.host} does not answer: {why}") from error
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def get(self, path: str, **query: str) -> Raw | None:
        """An object or a list; None where there is none, or no such API.

        Raises:
            StackError: no answer, or one that says no.
        """
        answer = self.ask("GET", path, query)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise StackError(f"GET {path} was refused ({answer.status}): {_message(answer.body)}")
        found: Raw = json.loads(answer.body)
        return found

    def items(self, path: str, **query: str) -> list[Raw]:
        """The objects of a list; none where there is no such API.

        Raises:
            StackError: as `get`.
        """
        found = self.get(path, **query)
        return [] if found is None else list(found.get("items", []))

    def allowed(self, verb: str, resource: str, *, namespace: str | None, group: str = "", name: str = "") -> bool:
        """Whether these credentials may do that: `resource` may have a subresource, as `pods/proxy`.

        Raises:
            StackError: the API does not say.
        """
        kind, _, sub = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": kind, "subresource": sub, "name": name}
        if namespace is not None:
            attributes["namespace"] = namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        if answer.status != HTTPStatus.CREATED:
            raise StackError(f"the API does not say which rights there are ({answer.status}): {_message(answer.body)}")
        return bool(json.loads(answer.body)["status"]["allowed"])

    def skew(self) -> Skew | None:
        """By how much the API server's clock is ahead of ours; None where it does not show.

        Its answers are stamped in whole seconds, so they are asked for until the second changes: the moment of that is
        known to within two questions.
        """
        before: float | None = None
        shown: float | None = None
        deadline = time.monotonic() + _SKEW_WITHIN_S
        while time.monotonic() < deadline:
            asked = time.time()
            stamp = self.ask("GET", "/version").headers.get("date")
            heard = time.time()
            if stamp is None:
                return None
            second = parsedate_to_datetime(stamp).timestamp()
            if shown is not None and before is not None and second > shown:
                # the second began after the last question was asked, and before this answer came
                middle, half = (before + heard) / 2, (heard - before) / 2
                return Skew(second - middle, half)
            before, shown = asked, second
            time.sleep(_SKEW_STEP_S)
        return None


def path_of(*parts: str) -> str:
    """A path of the API, each part quoted."""
    return "/" + "/".join(quote(part, safe=":") for part in parts)


def _message(body: bytes) -> str:
    try:
        said = json.loads(body).get("message")
    except (ValueError, AttributeError):
        said = None
    return str(said or body.decode(errors="replace"))[:300].strip() or "no reason given"
