"""Loads the credentials of one cluster, from a context of the kubeconfig or from a pod's service account."""

import hashlib
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import urllib3
from kubernetes import client
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from loadgen.base.errors import TargetError
from loadgen.base.proposals import meant
from loadgen.base.proxies import bypasses, is_loopback
from loadgen.base.text import clean
from loadgen.base.urls import hide, without_user
from loadgen.base.yaml_text import parse_yaml

IN_CLUSTER = "in-cluster"
"""Name of a context that stands for the pod's service account."""

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_RENEW_BEFORE_S = 60.0
_MAX_REASON = 300
_TOKEN_FILE_MAX_AGE_S = 60.0
"""How long a token from a file is used before it is read again; the kubelet replaces it before it expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Credentials of one cluster.

    Attributes:
        configuration: Configuration of the Kubernetes library.
        context: Name of the context, or `in-cluster`.
        namespace: Namespace of the context, or of the pod.
        from_service_account: Whether they are those of a pod's service account.
        renew_at_s: When to reload them (Unix, s); None to reload them only after a 401.
    """

    configuration: client.Configuration
    context: str
    namespace: str
    from_service_account: bool = False
    renew_at_s: float | None = None

    def reload(self) -> "Credentials":
        """Load the credentials of the same context again, even if the current context has changed.

        Raises:
            TargetError: they cannot be loaded.
        """
        return _from_service_account() if self.from_service_account else _from_kubeconfig(self.context)


def load_credentials(context: str | None) -> Credentials:
    """Load the credentials of a context.

    Args:
        context: Its name; None selects the current context, or the service account in a pod without a kubeconfig.
            `in-cluster` is the service account unless a context has that name.

    Raises:
        TargetError: there are none; the message names the kubeconfig.
    """
    in_pod = (_SERVICE_ACCOUNT / "token").is_file()
    if in_pod and context in (None, IN_CLUSTER) and not any(file.is_file() for file in _kubeconfigs()):
        return _from_service_account()
    try:
        return _from_kubeconfig(context)
    except TargetError:
        if in_pod and context == IN_CLUSTER:
            return _from_service_account()
        raise


def choose_proxy(configuration: client.Configuration, *, from_kubeconfig: bool = False) -> None:
    """Choose the proxy of a configuration as kubectl does.

    That is the proxy-url of the cluster, whatever NO_PROXY says; otherwise HTTPS_PROXY or HTTP_PROXY, except for a
    loopback address and the hosts in NO_PROXY. The library would use a proxy for a loopback address, too.

    Args:
        configuration: Configuration with its host.
        from_kubeconfig: Whether its proxy is the proxy-url of the cluster.
    """
    if from_kubeconfig:
        configuration.no_proxy = None
        return
    url, proxies = urlsplit(configuration.host), getproxies_environment()
    configuration.proxy = proxies.get(url.scheme)
    host, no_proxy = url.hostname or "", proxies.get("no", "")
    if is_loopback(host) or bypasses(host, url.port or (443 if url.scheme == "https" else 80), no_proxy):
        # the library's WebSocket client would take a proxy that is None from the environment, by its own rules
        no_proxy = ",".join(filter(None, (no_proxy, host)))
    configuration.no_proxy = no_proxy or None


def connection_key(configuration: client.Configuration) -> tuple[object, ...]:
    """Return what a connection depends on; when it changes, existing connections must not be used any more.

    Files are compared by content, since a certificate may be replaced under the same name.
    """
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    options = (configuration.host, configuration.verify_ssl, configuration.tls_server_name)
    proxy = (configuration.proxy, configuration.no_proxy)
    return (*options, *proxy, *(_digest(file) for file in files))


def _digest(file: str | None) -> bytes | None:
    try:
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).digest()
    except OSError:
        return None


def _kubeconfigs() -> list[Path]:
    files = [Path(each) for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    default = Path("~/.kube/config")
    with suppress(RuntimeError):  # without a home folder there is no such file
        default = default.expanduser()
    return files or [default]


def _from_service_account() -> Credentials:
    configuration = client.Configuration()
    try:
        namespace = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
        InClusterConfigLoader(_SERVICE_ACCOUNT / "token", _SERVICE_ACCOUNT / "ca.crt").load_and_set(configuration)
    except (ConfigException, OSError) as error:
        raise TargetError(
            f"cannot load the service account of this pod: {str(error).rstrip('.')}; mount its token "
            "(automountServiceAccountToken), or set KUBECONFIG"
        ) from error
    _hide_secrets(configuration, {})
    choose_proxy(configuration)
    return Credentials(
        configuration=configuration,
        context=IN_CLUSTER,
        namespace=namespace,
        from_service_account=True,
        renew_at_s=time.time() + _TOKEN_FILE_MAX_AGE_S,
    )


def _from_kubeconfig(context: str | None) -> Credentials:
    where = os.pathsep.join(map(str, _kubeconfigs()))
    configuration = client.Configuration()
    try:
        _require_yaml()
        merger = KubeConfigMerger(where)
        if merger.config is None:
            raise ConfigException("the file does not exist")
        selected = _select_context(merger, context)
        loader = KubeConfigLoader(
            config_dict=merger.config,
            active_context=selected["name"],
            config_base_path=None,
            config_persister=merger.save_changes,
        )
        loader.load_and_set(configuration)
        user = _user(merger, selected)
        _take_user_from_url(configuration)
        _hide_secrets(configuration, user)
    except (ConfigException, OSError, ValueError) as error:
        message = re.sub(r"/\{.*\}", "", str(error), flags=re.DOTALL)  # the library quotes users with their secrets
        raise _load_error(clean(message, _MAX_REASON).rstrip("."), where) from None
    except (AttributeError, LookupError, TypeError) as error:  # any other YAML, such as a half-written file
        raise _load_error(f"it is not a kubeconfig ({clean(repr(error))})", where) from error
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        raise _load_error(
            f"the exec plugin {user['exec'].get('command')} of context {selected['name']} returns no credentials: "
            "run it to see why, or log in again",
            where,
        )
    choose_proxy(configuration, from_kubeconfig="proxy" in loader.__dict__)
    expiry = getattr(loader, "expiry", None)
    renew_at_s = None if expiry is None else expiry.timestamp() - _RENEW_BEFORE_S
    if renew_at_s is None and "tokenFile" in user:
        renew_at_s = time.time() + _TOKEN_FILE_MAX_AGE_S
    namespace = selected["context"].get("namespace") or "default"
    return Credentials(
        configuration=configuration, context=selected["name"], namespace=namespace, renew_at_s=renew_at_s
    )


def _require_yaml() -> None:
    """Check the files before the library reads them, which has no limits.

    Raises:
        ConfigException: a file is not YAML; the message does not repeat it.
    """
    for file in filter(Path.is_file, _kubeconfigs()):
        try:
            parse_yaml(file.read_text())
        except UnicodeDecodeError as error:
            raise ConfigException(f"{file} is not valid YAML") from error
        except ValueError as error:
            raise ConfigException(f"{file} {str(error).partition(':')[0]}") from error


def _take_user_from_url(configuration: client.Configuration) -> None:
    """Send user name and password of the server's URL as a header, as kubectl does, unless there is a token."""
    configuration.host, name, password = without_user(configuration.host)
    if name is not None and not configuration.api_key:
        header = urllib3.util.make_headers(basic_auth=f"{name}:{password or ''}")["authorization"]
        configuration.api_key["authorization"] = header


def _hide_secrets(configuration: client.Configuration, user: dict[str, Any]) -> None:
    """Keep error messages of servers from repeating the credentials."""
    hide(str(user.get("password") or ""))
    for value in configuration.api_key.values():
        hide(value.rpartition(" ")[2])
    if configuration.proxy:
        without_user(configuration.proxy)


def _select_context(merger: KubeConfigMerger, context: str | None) -> dict[str, Any]:
    """Return the named or current context; of several files the first one sets the current context, as for kubectl."""
    contexts = {each.value["name"]: each.value for each in merger.config.value["contexts"]}
    names = ", ".join(sorted(contexts)) or "none"
    current = [each["current-context"] for each in merger.config_files.values() if each.get("current-context")]
    if context is None and not current:
        raise ConfigException(f"there is no current context, choose one of: {names}")
    name = current[0] if context is None else context
    if name not in contexts:
        raise ConfigException(f"context {name} does not exist{meant(name, contexts)}, only: {names}")
    selected: dict[str, Any] = contexts[name]
    return selected


def _user(merger: KubeConfigMerger, context: dict[str, Any]) -> dict[str, Any]:
    name = context["context"].get("user")
    users = (each.value for each in merger.config.value["users"])
    return next((each["user"] or {} for each in users if each["name"] == name), {})


def _load_error(reason: str, where: str) -> TargetError:
    return TargetError(
        f"cannot load cluster credentials: {reason} (kubeconfig {where}); set KUBECONFIG or --kube-context"
    )
