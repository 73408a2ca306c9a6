"""The objects that rules read: checked where they enter, each with the file, chart or namespace that it is from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar, cast

from loadgen.base.errors import SettingsError
from loadgen.base.text import clean
from loadgen.kube.objects.fields.parts import Part, Selector
from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.shapes import parsed
from loadgen.lint.pitfall import Pitfall, PitfallCode, Severity

Fields = TypeVar("Fields", bound=Part)
_MAX_EVIDENCE = 200
CHART = "chart triton-trtllm"
"""Source of objects that the bundled chart rendered."""


class Kind(NamedTuple):
    """A kind of object that rules read: its API group, version and plural name, and its key in `SHAPES`."""

    group: str
    version: str
    plural: str
    shape: str = ""


KINDS: Mapping[str, Kind] = {
    "Deployment": Kind("apps", "v1", "deployments"),
    "StatefulSet": Kind("apps", "v1", "statefulsets"),
    "LeaderWorkerSet": Kind("leaderworkerset.x-k8s.io", "v1", "leaderworkersets"),
    "HorizontalPodAutoscaler": Kind("autoscaling", "v2", "horizontalpodautoscalers", "hpa of any version"),
    "ScaledObject": Kind("keda.sh", "v1alpha1", "scaledobjects"),
    "Service": Kind("", "v1", "services"),
    "PodDisruptionBudget": Kind("policy", "v1", "poddisruptionbudgets"),
    "PodMonitor": Kind("monitoring.coreos.com", "v1", "podmonitors"),
    "ServiceMonitor": Kind("monitoring.coreos.com", "v1", "servicemonitors"),
    "PrometheusRule": Kind("monitoring.coreos.com", "v1", "prometheusrules"),
    "ConfigMap": Kind("", "v1", "configmaps"),
    "Ingress": Kind("networking.k8s.io", "v1", "ingresses"),
    "IngressRoute": Kind("traefik.io", "v1alpha1", "ingressroutes"),
    "GRPCRoute": Kind("gateway.networking.k8s.io", "v1", "grpcroutes"),
    "HTTPRoute": Kind("gateway.networking.k8s.io", "v1", "httproutes"),
}
"""What rules read, by kind; objects of other kinds are ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Generic[Fields]):
    """An object of one of `KINDS`.

    Attributes:
        source: File, chart or namespace that it was read from.
        kind: Its kind.
        namespace: Its namespace; `default` in a manifest that names none.
        name: Its name.
        raw: The object with its `kind` and `apiVersion`, without fields that are null.
        fields: The fields that are read.
    """

    source: str
    kind: str
    namespace: str
    name: str
    raw: Raw
    fields: Fields

    def pitfall(self, declared: PitfallCode, path: str, value: object, *, severity: Severity | None = None) -> Pitfall:
        """Return a pitfall of this object.

        Args:
            declared: Its code.
            path: Path of the field.
            value: The value there, or what is missing, in words.
            severity: Overrides the declared one.
        """
        return Pitfall(
            declared=declared,
            severity=severity or declared.severity,
            source=clean(self.source),
            kind=self.kind,
            namespace=clean(self.namespace),
            name=clean(self.name),
            field=clean(path),
            value=clean(value, _MAX_EVIDENCE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """All objects of an input.

    Attributes:
        known: Those of `KINDS`.
        pod_labels: Namespace and labels of every pod and template of pods, of any kind.
        ignored: Kinds of the other objects.
        unread: Kinds that could not be read, each with the reason.
        live: Whether they were read from a cluster, which fills in fields that a manifest left out.
    """

    known: tuple[Object[Any], ...]
    pod_labels: tuple[tuple[str, Mapping[str, str]], ...] = ()
    ignored: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    live: bool = False

    def of(self, *kinds: str) -> Iterator[Object[Any]]:
        """Yield the objects of some kinds."""
        return (each for each in self.known if each.kind in kinds)


def read_objects(documents: Iterable[tuple[str, Any]], *, namespace: str = "default") -> Objects:
    """Return the objects of manifests; of several with one name, the last, as `kubectl apply` leaves it.

    Args:
        documents: Each with its source. What is not an object of Kubernetes is left out.
        namespace: Namespace of objects that name none.

    Raises:
        SettingsError: an object does not have the fields of its kind.
    """
    known: dict[tuple[str, str, str], Object[Any]] = {}
    labels: list[tuple[str, Mapping[str, str]]] = []
    ignored: set[str] = set()
    for source, document in documents:
        for raw in _items(document):
            kind, group = str(raw["kind"]), _group(raw)
            if (labelled := _pod_labels(raw)) is not None:
                labels.append((_namespace(raw) or namespace, labelled))
            if kind not in KINDS or KINDS[kind].group != group:
                ignored.add(kind)
                continue
            each = object_of(source, kind, raw, namespace)
            known[each.kind, each.namespace, each.name] = each
    return Objects(known=tuple(known.values()), pod_labels=tuple(labels), ignored=frozenset(ignored))


def object_of(source: str, kind: str, raw: Raw, namespace: str) -> Object[Any]:
    """Return one object of one of `KINDS`.

    Args:
        source: Where it is from.
        kind: Its kind.
        raw: The object.
        namespace: Its namespace where it names none.

    Raises:
        SettingsError: it does not have the fields of its kind.
    """
    declared = KINDS[kind]
    metadata = raw.get("metadata")
    if isinstance(metadata, dict):
        raw = {**raw, "metadata": {**metadata, "namespace": metadata.get("namespace") or namespace}}
    try:
        present, fields = parsed(declared.shape or declared.plural, raw)
    except ValueError as error:
        raise SettingsError(f"{source} has an object that the API server would refuse ({error}): correct it") from None
    version = f"{declared.group}/{declared.version}".lstrip("/")
    return Object(
        source=source,
        kind=kind,
        namespace=str(present["metadata"]["namespace"]),
        name=str(present["metadata"]["name"]),
        raw={"apiVersion": version, **present, "kind": kind},
        fields=fields,
    )


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches labels; an empty one matches all."""
    if not selector.matchLabels.items() <= labels.items():
        return False
    for each in selector.matchExpressions:
        value = labels.get(each.key)
        matches = {
            "In": value in each.values,
            "NotIn": value not in each.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not matches[each.operator]:
            return False
    return True


def _items(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a document: itself, or those of a list."""
    waiting = [document]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, dict) or not isinstance(each.get("kind"), str) or "apiVersion" not in each:
            continue
        if each["kind"].endswith("List") and isinstance(each.get("items"), list):
            waiting += each["items"]
            continue
        yield cast(dict[str, Any], each)


def _group(raw: Raw) -> str:
    group, slash, _ = str(raw["apiVersion"]).partition("/")
    return group if slash else ""


def _namespace(raw: Raw) -> str:
    metadata = raw.get("metadata")
    return str(metadata.get("namespace") or "") if isinstance(metadata, dict) else ""


def _pod_labels(raw: Raw) -> Mapping[str, str] | None:
    """Return the labels of a pod, or of the pods of a template; None for any other object."""
    part: Any = raw if raw["kind"] == "Pod" else raw.get("spec")
    if raw["kind"] != "Pod":
        part = part.get("template") if isinstance(part, dict) else None
    metadata = part.get("metadata") if isinstance(part, dict) else None
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else None
