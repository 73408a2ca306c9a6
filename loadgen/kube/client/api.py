"""The Kubernetes API as this package asks it: by the kubeconfig or a pod's service account, raw JSON, short waits."""

import json
import logging
import math
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client
from kubernetes.client import rest

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client.credentials import Credentials, connection, find_credentials

TIMEOUT_S = 10.0
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_CALM_S = 300.0
"""Credentials that held for so long have come to their end, and are not the trouble that lasts."""

_log = logging.getLogger("loadgen.kube.client.api")
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
    """One cluster, for as long as the object lives: whatever the current context is meanwhile.

    Args:
        context: Context of the kubeconfig, or `in-cluster`; None takes the current one, or the pod's service account.

    Attributes:
        context: Its name, or `in-cluster`; another process that is given it asks the same cluster.
        namespace: Namespace of the context, or of the pod.
        client: The library's client; what it connects with follows the credentials.

    Raises:
        TargetError: there is no kubeconfig and no service account, or no such context.
    """

    def __init__(self, context: str | None = None) -> None:
        self._credentials = find_credentials(context)
        self.context, self.namespace = self._credentials.context, self._credentials.namespace
        self.configuration = self._credentials.configuration
        self.configuration.retries = urllib3.Retry(0)
        # the library's own hook runs a plugin at every request of the last minutes of a token
        self.configuration.refresh_api_key_hook = lambda _: self._renew_if_due()  # type: ignore[assignment]
        self.client = client.ApiClient(self.configuration)
        self._connection = connection(self.configuration)
        self._renewing = threading.Lock()
        self._generation = 0
        self._again_at, self._pause_s = -math.inf, 0.0
        self._fault: str | None = None

    def renew(self, refused: int | None = None) -> bool:
        """Read the credentials again, as after a 401: a token may have been replaced in its file, or have ended.

        Reading them may start a plugin, so it is done once for all threads, and less and less often while it does not
        help.

        Args:
            refused: Generation of the credentials that were refused; newer ones are there already, or are read.

        Returns:
            Whether there are others than those that were refused.
        """
        with self._renewing:
            if refused is not None and refused != self._generation:
                return True
            now = time.monotonic()
            if now < self._again_at:
                return False
            calm = now > self._again_at + _CALM_S
            self._pause_s = _PAUSE_S if calm else min(2 * self._pause_s, _LONGEST_PAUSE_S)
            try:
                self._take(self._credentials.again())
            except TargetError as error:
                self._fault = str(error)
                _log.warning("the credentials stay as they were: %s", error)
                return False
            finally:
                self._again_at = time.monotonic() + self._pause_s
            self._generation, self._fault = self._generation + 1, None
            return True

    def _take(self, found: Credentials) -> None:
        self._credentials = found
        made_of = connection(found.configuration)
        for name in ("host", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "tls_server_name", "proxy"):
            setattr(self.configuration, name, getattr(found.configuration, name))
        self.configuration.api_key = found.configuration.api_key
        if made_of != self._connection:
            old, self.client.rest_client = self.client.rest_client, rest.RESTClientObject(self.configuration)
            old.pool_manager.clear()
            self._connection = made_of

    def _renew_if_due(self) -> None:
        due_s = self._credentials.due_s
        if due_s is not None and time.time() > due_s:
            self.renew(self._generation)

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Whatever the API answers to one request; a 401 is tried again with credentials that are read anew.

        Raises:
            StackError: it does not answer.
        """
        for again in (True, False):
            generation = self._generation
            try:
                answer = self._ask(method, path, query or {}, body, headers or {}, timeout_s)
            except urllib3.exceptions.SSLError as error:  # the cluster's authority may have been replaced, too
                if not (again and self.renew(generation)):
                    raise self._silent(error) from error
            else:
                if answer.status != HTTPStatus.UNAUTHORIZED or not (again and self.renew(generation)):
                    break
        return answer

    def _ask(
        self, method: str, path: str, query: Mapping[str, str], body: Any, more: Mapping[str, str], timeout_s: float
    ) -> Answer:
        headers = {**more, "Accept": "*/*", "User-Agent": self.client.user_agent}
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
        except urllib3.exceptions.SSLError:
            raise
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._silent(error) from error
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def _silent(self, error: Exception) -> StackError:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        return StackError(f"the API server at {self.configuration.host} does not answer: {why}")

    def get(self, path: str, **query: str) -> Raw | None:
        """An object or a list; None where there is none, or no such API.

        Raises:
            StackError: no answer, or one that says no.
        """
        answer = self.ask("GET", path, query)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            fault = f"; {self._fault}" if answer.status == HTTPStatus.UNAUTHORIZED and self._fault else ""
            raise StackError(f"GET {path} was refused ({answer.status}): {_message(answer.body)}{fault}")
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
