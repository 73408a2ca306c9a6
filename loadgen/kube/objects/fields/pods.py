"""Fields of pods, events and nodes that are read."""

from loadgen.kube.objects.fields.parts import Condition, Int32, Object, Part, Quantity, Time


class State(Part):
    """The fields of `State` that are read."""

    reason: str = ""
    message: str = ""
    exitCode: Int32 = 0
    startedAt: Time = "1970-01-01T00:00:00Z"
    finishedAt: Time = "1970-01-01T00:00:00Z"


class ContainerStatus(Part):
    """The fields of `ContainerStatus` that are read."""

    name: str
    image: str = ""
    restartCount: Int32 = 0
    state: dict[str, State] = {}
    lastState: dict[str, State] = {}


class PodStatus(Part):
    """The fields of `PodStatus` that are read."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    podIP: str = ""
    startTime: Time = "1970-01-01T00:00:00Z"
    conditions: list[Condition] = []
    initContainerStatuses: list[ContainerStatus] = []
    containerStatuses: list[ContainerStatus] = []


class PodOnNode(Part):
    """The fields of `PodOnNode` that are read."""

    nodeName: str = ""


class Pod(Object):
    """The fields of `Pod` that are read."""

    spec: PodOnNode = PodOnNode()
    status: PodStatus = PodStatus()


class Involved(Part):
    """The fields of `Involved` that are read."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Series(Part):
    """The fields of `Series` that are read."""

    lastObservedTime: Time = "1970-01-01T00:00:00Z"


class Source(Part):
    """The fields of `Source` that are read."""

    component: str = ""


class Event(Object):
    """The fields of `Event` that are read."""

    involvedObject: Involved = Involved()
    type: str = ""
    reason: str = ""
    message: str = ""
    note: str = ""
    count: Int32 = 0
    lastTimestamp: Time = "1970-01-01T00:00:00Z"
    eventTime: Time = "1970-01-01T00:00:00Z"
    series: Series = Series()
    source: Source = Source()
    reportingComponent: str = ""


class NodeAddress(Part):
    """The fields of `NodeAddress` that are read."""

    type: str
    address: str


class NodeStatus(Part):
    """The fields of `NodeStatus` that are read."""

    conditions: list[Condition] = []
    addresses: list[NodeAddress] = []
    capacity: dict[str, Quantity] = {}


class Node(Object):
    """The fields of `Node` that are read."""

    status: NodeStatus = NodeStatus()
