"""Credentials of one cluster: by a context of the kubeconfig, or by a pod's service account."""

import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from loadgen.base.errors import TargetError

IN_CLUSTER = "in-cluster"
"""Stands for the service account where the name of a context is asked for."""

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_BEFORE_S = 60.0
_FILE_FOR_S = 60.0
"""How long a token from a file is taken as it was read: the kubelet and others write it anew before it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What opens one cluster.

    Attributes:
        configuration: As the Kubernetes library takes it.
        context: Name of the context, or `in-cluster`.
        namespace: Namespace of the context, or of the pod.
        of_pod: Whether they are a pod's service account.
        due_s: When they are to be read again (Unix, s); None where only a refusal tells.
    """

    configuration: client.Configuration
    context: str
    namespace: str
    of_pod: bool = False
    due_s: float | None = None

    def again(self) -> "Credentials":
        """Those of the same context as they are now, whichever is the current one meanwhile.

        Raises:
            TargetError: they cannot be read.
        """
        return _of_pod() if self.of_pod else _of_kubeconfig(self.context)


def find_credentials(context: str | None) -> Credentials:
    """The credentials of a context.

    Args:
        context: Its name; None takes the current one, or the service account of a pod without a kubeconfig.
            `in-cluster` is the service account unless a context has that name.

    Raises:
        TargetError: there are none; the sentence says where they were looked for.
    """
    in_pod = (_ACCOUNT / "token").is_file()
    if in_pod and context in (None, IN_CLUSTER) and not any(file.is_file() for file in _files()):
        return _of_pod()
    try:
        return _of_kubeconfig(context)
    except TargetError:
        if in_pod and context == IN_CLUSTER:
            return _of_pod()
        raise


def connection(configuration: client.Configuration) -> tuple[object, ...]:
    """What a connection is made of; a connection that was made of something else must not be used any more.

    Files count by what is in them, as a certificate may be replaced under its name.
    """
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    plain = (configuration.host, configuration.verify_ssl, configuration.tls_server_name, configuration.proxy)
    return (*plain, *(_digest(file) for file in files))


def _digest(file: str | None) -> bytes | None:
    try:
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).digest()
    except OSError:
        return None


def _files() -> list[Path]:
    named = [Path(each) for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    return named or [Path.home() / ".kube" / "config"]


def _of_pod() -> Credentials:
    configuration = client.Configuration()
    try:
        namespace = (_ACCOUNT / "namespace").read_text().strip()
        InClusterConfigLoader(_ACCOUNT / "token", _ACCOUNT / "ca.crt").load_and_set(configuration)
    except (ConfigException, OSError) as error:
        raise TargetError(
            f"the service account of this pod is no way to a cluster: {str(error).rstrip('.')}; give the pod one "
            "(automountServiceAccountToken), or set KUBECONFIG"
        ) from error
    return Credentials(
        configuration=configuration,
        context=IN_CLUSTER,
        namespace=namespace,
        of_pod=True,
        due_s=time.time() + _FILE_FOR_S,
    )


def _of_kubeconfig(context: str | None) -> Credentials:
    where = os.pathsep.join(map(str, _files()))
    configuration = client.Configuration()
    try:
        merger = KubeConfigMerger(where)
        if merger.config is None:
            raise ConfigException("there is no such file")
        chosen = _chosen(merger, context)
        loader = KubeConfigLoader(
            config_dict=merger.config,
            active_context=chosen["name"],
            config_base_path=None,
            config_persister=merger.save_changes,
        )
        loader.load_and_set(configuration)
        user = _user(merger, chosen)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _no_way(f"{mark.name if mark else 'it'} is no YAML", where) from error
    except (ConfigException, OSError, ValueError) as error:
        said = re.sub(r"/\{.*\}", "", str(error)).rstrip(".")  # the library quotes whole users, with their secrets
        raise _no_way(said, where) from None
    except (AttributeError, KeyError, TypeError) as error:  # YAML of any shape, as of a file that is half written
        raise _no_way(f"it is no kubeconfig ({error!r})", where) from error
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        raise _no_way(
            f"the command {user['exec'].get('command')} of the context {chosen['name']} gives no credentials: run it "
            "to see why, log in again",
            where,
        )
    expiry = getattr(loader, "expiry", None)
    due_s = None if expiry is None else expiry.timestamp() - _BEFORE_S
    if due_s is None and "tokenFile" in user:
        due_s = time.time() + _FILE_FOR_S
    namespace = chosen["context"].get("namespace") or "default"
    return Credentials(configuration=configuration, context=chosen["name"], namespace=namespace, due_s=due_s)


def _chosen(merger: KubeConfigMerger, context: str | None) -> dict[str, Any]:
    """The context that is meant; of several files the first says which is the current one, as for kubectl."""
    contexts = {each.value["name"]: each.value for each in merger.config.value["contexts"]}
    names = ", ".join(sorted(contexts)) or "none"
    current = [each["current-context"] for each in merger.config_files.values() if each.get("current-context")]
    if context is None and not current:
        raise ConfigException(f"no context is the current one, choose one of: {names}")
    name = current[0] if context is None else context
    if name not in contexts:
        raise ConfigException(f"there is no context {name}, only: {names}")
    found: dict[str, Any] = contexts[name]
    return found


def _user(merger: KubeConfigMerger, context: dict[str, Any]) -> dict[str, Any]:
    name = context["context"].get("user")
    users = (each.value for each in merger.config.value["users"])
    return next((each["user"] or {} for each in users if each["name"] == name), {})


def _no_way(why: str, where: str) -> TargetError:
    return TargetError(f"no way to a cluster: {why} (kubeconfig {where}); set KUBECONFIG or --kube-context")
