"""Fields of Services, Ingresses, IngressRoutes, routes and Gateways that are read."""

from loadgen.kube.objects.fields.parts import Int32, NamespacedMetadata, Object, Part, PortNumber


class ServicePort(Part):
    """The fields of `ServicePort` that are read."""

    port: PortNumber
    targetPort: Int32 | str = 0
    nodePort: Int32 = 0
    name: str = ""
    protocol: str = "TCP"
    appProtocol: str = ""


class ServiceSpec(Part):
    """The fields of `ServiceSpec` that are read."""

    type: str = "ClusterIP"
    clusterIP: str = ""
    publishNotReadyAddresses: bool = False
    sessionAffinity: str = "None"
    selector: dict[str, str] = {}
    ports: list[ServicePort] = []


class IngressAddress(Part):
    """The fields of `IngressAddress` that are read."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(Part):
    """The fields of `LoadBalancer` that are read."""

    ingress: list[IngressAddress] = []


class LoadBalancerStatus(Part):
    """The fields of `LoadBalancerStatus` that are read."""

    loadBalancer: LoadBalancer = LoadBalancer()


class Service(Part):
    """The fields of `Service` that are read."""

    metadata: NamespacedMetadata
    spec: ServiceSpec
    status: LoadBalancerStatus = LoadBalancerStatus()


class Reference(Part):
    """The fields of `Reference` that are read."""

    name: str


class OptionalReference(Part):
    """The fields of `OptionalReference` that are read."""

    name: str = ""


class IngressBackend(Part):
    """The fields of `IngressBackend` that are read."""

    service: OptionalReference = OptionalReference()


class IngressPath(Part):
    """The fields of `IngressPath` that are read."""

    backend: IngressBackend = IngressBackend()


class IngressHttp(Part):
    """The fields of `IngressHttp` that are read."""

    paths: list[IngressPath] = []


class IngressRule(Part):
    """The fields of `IngressRule` that are read."""

    host: str = ""
    http: IngressHttp = IngressHttp()


class IngressTls(Part):
    """The fields of `IngressTLS` that are read."""

    hosts: list[str] = []


class IngressSpec(Part):
    """The fields of `IngressSpec` that are read."""

    rules: list[IngressRule] = []
    tls: list[IngressTls] = []


class Ingress(Object):
    """The fields of `Ingress` that are read."""

    spec: IngressSpec
    status: LoadBalancerStatus = LoadBalancerStatus()


class TraefikRule(Part):
    """The fields of `TraefikRule` that are read."""

    match: str = ""
    services: list[Reference] = []


class TraefikSpec(Part):
    """The fields of `TraefikSpec` that are read."""

    entryPoints: list[str] = []
    routes: list[TraefikRule] = []


class IngressRoute(Object):
    """The fields of `IngressRoute` that are read."""

    spec: TraefikSpec


class Parent(Part):
    """The fields of `Parent` that are read."""

    name: str
    namespace: str = ""
    sectionName: str = ""


class RouteRule(Part):
    """The fields of `RouteRule` that are read."""

    backendRefs: list[Reference] = []


class RouteSpec(Part):
    """The fields of `RouteSpec` that are read."""

    hostnames: list[str] = []
    parentRefs: list[Parent] = []
    rules: list[RouteRule] = []


class Route(Part):
    """The fields of `Route` that are read."""

    metadata: NamespacedMetadata
    spec: RouteSpec


class Listener(Part):
    """The fields of `Listener` that are read."""

    name: str
    port: PortNumber
    protocol: str = ""
    hostname: str = ""


class GatewayAddress(Part):
    """The fields of `GatewayAddress` that are read."""

    value: str = ""


class GatewaySpec(Part):
    """The fields of `GatewaySpec` that are read."""

    listeners: list[Listener] = []


class GatewayStatus(Part):
    """The fields of `GatewayStatus` that are read."""

    addresses: list[GatewayAddress] = []


class Gateway(Part):
    """The fields of `Gateway` that are read."""

    metadata: NamespacedMetadata
    spec: GatewaySpec
    status: GatewayStatus = GatewayStatus()
