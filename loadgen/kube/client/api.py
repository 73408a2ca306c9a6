"""Sends requests to the Kubernetes API with the credentials of a kubeconfig or of a pod's service account."""

import json
import logging
import math
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client
from kubernetes.client import rest

from loadgen.base.errors import StackError, TargetError
from loadgen.base.proxies import through
from loadgen.kube.client.credentials import Credentials, connection_key, load_credentials
from loadgen.kube.client.response import Raw, Response, document, error_message, parse_date
from loadgen.kube.objects.shapes import checked

_TIMEOUT_S = 10.0
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 60.0
_BACKOFF_RESET_S = 300.0
"""Credentials that were valid for so long have expired normally, so the back-off starts again."""

_log = logging.getLogger("loadgen.kube.client.api")
_SKEW_TIMEOUT_S = 3.0
_SKEW_POLL_S = 0.02
_CHECK = "check the address, and any proxy in front of it"


class Skew(NamedTuple):
    """How far a clock is ahead of this machine's clock, ± `error_s`."""

    ahead_s: float
    error_s: float


class Api:
    """A connection to one cluster, which stays the same when the current context changes.

    Args:
        context: Context of the kubeconfig, or `in-cluster`; None takes the current one, or the pod's service account.

    Attributes:
        context: Name of the context, or `in-cluster`; another process connects to the same cluster by this name.
        namespace: Namespace of the context, or of the pod.
        client: Client of the Kubernetes library; its connections follow the credentials.

    Raises:
        TargetError: there is neither a kubeconfig nor a service account, or the context does not exist.
    """

    def __init__(self, context: str | None = None) -> None:
        self._credentials = load_credentials(context)
        self.context, self.namespace = self._credentials.context, self._credentials.namespace
        self.configuration = self._credentials.configuration
        self.configuration.retries = urllib3.Retry(0)
        # the library's own hook runs the exec plugin at every request in the last minutes of a token
        self.configuration.refresh_api_key_hook = lambda _: self._renew_if_due()  # type: ignore[assignment]
        self.client = client.ApiClient(self.configuration)
        self._connection_key = connection_key(self.configuration)
        self._renewal_lock = threading.Lock()
        self._generation = 0
        self._retry_at_s, self._backoff_s = -math.inf, 0.0
        self._renewal_error: str | None = None

    def renew(self, refused: int | None = None) -> bool:
        """Reload the credentials after a 401: a token may have expired, or have been replaced in its file.

        Reloading may run an exec plugin, so it happens once for all threads; a failing exec plugin is retried with
        exponential back-off, up to one minute.

        Args:
            refused: Generation of the refused credentials; if newer ones are loaded already, nothing happens.

        Returns:
            Whether there are newer credentials than the refused ones.
        """
        with self._renewal_lock:
            if refused is not None and refused != self._generation:
                return True
            now_s = time.monotonic()
            if now_s < self._retry_at_s:
                return False
            reset = now_s > self._retry_at_s + _BACKOFF_RESET_S
            self._backoff_s = _MIN_BACKOFF_S if reset else min(2 * self._backoff_s, _MAX_BACKOFF_S)
            try:
                self._use(self._credentials.reload())
            except TargetError as error:
                self._renewal_error = str(error)
                _log.warning("the credentials could not be renewed: %s", error)
                return False
            finally:
                self._retry_at_s = time.monotonic() + self._backoff_s
            self._generation, self._renewal_error = self._generation + 1, None
            return True

    def _use(self, credentials: Credentials) -> None:
        self._credentials = credentials
        key = connection_key(credentials.configuration)
        for name in (
            "host",
            "ssl_ca_cert",
            "cert_file",
            "key_file",
            "verify_ssl",
            "tls_server_name",
            "proxy",
            "no_proxy",
        ):
            setattr(self.configuration, name, getattr(credentials.configuration, name))
        self.configuration.api_key = credentials.configuration.api_key
        if key != self._connection_key:
            old, self.client.rest_client = self.client.rest_client, rest.RESTClientObject(self.configuration)
            old.pool_manager.clear()
            self._connection_key = key

    def _renew_if_due(self) -> None:
        renew_at_s = self._credentials.renew_at_s
        if renew_at_s is not None and time.time() > renew_at_s:
            self.renew(self._generation)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> Response:
        """Send one request and return the response of any status; after a 401, retry once with renewed credentials.

        Raises:
            StackError: the API does not respond.
        """
        for retry in (True, False):
            generation = self._generation
            try:
                response = self._request(method, path, query or {}, body, headers or {}, timeout_s)
            except urllib3.exceptions.SSLError as error:  # the cluster's CA may have been replaced
                if not (retry and self.renew(generation)):
                    raise self._unreachable(error) from error
            else:
                if response.status != HTTPStatus.UNAUTHORIZED or not (retry and self.renew(generation)):
                    break
        return response

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        extra_headers: Mapping[str, str],
        timeout_s: float,
    ) -> Response:
        headers = {**extra_headers, "Accept": "*/*", "User-Agent": self.client.user_agent}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self.configuration.host}{path}{'?' + urlencode(query) if query else ''}"
        try:
            response = self.client.rest_client.pool_manager.request(
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
            raise self._unreachable(error) from error
        return Response(
            response.status, {name.lower(): value for name, value in response.headers.items()}, response.data
        )

    def _unreachable(self, error: Exception) -> StackError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        proxy = self.configuration.proxy
        direct = not proxy or rest.should_bypass_proxies(self.configuration.host, self.configuration.no_proxy or "")
        via = "" if direct else through(proxy)
        return StackError(f"cannot reach the API server at {self.configuration.host}{via}: {reason}")

    def get(self, path: str, **query: str) -> Raw | None:
        """Return an object or a list; None where the object or its API does not exist.

        Raises:
            StackError: the API does not respond, or returns an error.
        """
        response = self.request("GET", path, query)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            renewal = (
                f"; {self._renewal_error}" if response.status == HTTPStatus.UNAUTHORIZED and self._renewal_error else ""
            )
            raise StackError(f"GET {path} returned {error_message(response, self.configuration.host)}{renewal}")
        return document(response, self.configuration.host)

    def items(self, path: str, **query: str) -> list[Raw]:
        """Return the objects of a list without fields that are null; none where the API does not exist.

        Raises:
            StackError: as `get`.
        """
        content = self.get(path, **query) or {}
        items = content.get("items") or []
        if not isinstance(items, list):
            raise StackError(f"the API server at {self.configuration.host} returned no list for {path}: {_CHECK}")
        return [checked(path.rpartition("/")[2], each) for each in items]

    def allowed(self, verb: str, resource: str, *, namespace: str | None, group: str = "", name: str = "") -> bool:
        """Return whether the account has a permission; `resource` may include a subresource, such as `pods/proxy`.

        Raises:
            StackError: the API does not respond, or refuses the review.
        """
        plural, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, "name": name}
        if namespace is not None:
            attributes["namespace"] = namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        response = self.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        if response.status != HTTPStatus.CREATED:
            raise StackError(f"cannot check RBAC permissions: {error_message(response, self.configuration.host)}")
        status = document(response, self.configuration.host).get("status")
        return isinstance(status, dict) and bool(status.get("allowed"))

    def skew(self) -> Skew | None:
        """Measure how far the API server's clock is ahead of this machine's; None where responses have no valid date.

        Responses are stamped in whole seconds, so requests are sent until the second changes: that moment lies between
        two requests.
        """
        last_request_s: float | None = None
        last_second_s: float | None = None
        deadline = time.monotonic() + _SKEW_TIMEOUT_S
        while time.monotonic() < deadline:
            requested_s = time.time()
            stamp = self.request("GET", "/version").headers.get("date")
            received_s = time.time()
            second_s = parse_date(stamp)
            if second_s is None:
                return None
            if last_second_s is not None and last_request_s is not None and second_s > last_second_s:
                # the second started after the previous request was sent, and before this response was received
                middle_s, error_s = (last_request_s + received_s) / 2, (received_s - last_request_s) / 2
                return Skew(second_s - middle_s, error_s)
            last_request_s, last_second_s = requested_s, second_s
            time.sleep(_SKEW_POLL_S)
        return None


def path_of(*parts: str) -> str:
    """Join the parts of a path of the API, and quote each of them."""
    return "/" + "/".join(quote(part, safe=":") for part in parts)
