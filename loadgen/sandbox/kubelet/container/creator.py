"""Creates a container from its spec: image, environment, command, mounts and first process."""

import asyncio
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from loadgen.base.errors import SettingsError
from loadgen.sandbox.kubelet.api_client import ApiError
from loadgen.sandbox.kubelet.container.environment import (
    ContainerConfigError,
    EnvironmentSources,
    command,
    environment,
    service_variables,
)
from loadgen.sandbox.kubelet.container.images import Image
from loadgen.sandbox.kubelet.container.process import start_process
from loadgen.sandbox.kubelet.container.running_container import RunningContainer
from loadgen.sandbox.kubelet.context import PodContext
from loadgen.sandbox.kubelet.objects import Json, is_host_network
from loadgen.sandbox.kubelet.volumes.mounts import container_mounts
from loadgen.sandbox.kubelet.volumes.payload import VolumeError

_TERMINATION_MESSAGE_PATH = "/dev/termination-log"
_TERMINATION_MESSAGE_BYTES = 4096
_LOG_TAIL_BYTES, _LOG_TAIL_LINES = 2048, 80


class CreateContainerError(Exception):
    """The container cannot be created yet; its state is waiting.

    Attributes:
        reason: Reason of the waiting state, such as ErrImagePull or CreateContainerConfigError.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCreator:
    """Creates one container of a pod, once for every restart.

    Attributes:
        context: Shared by the containers of the pod.
        container: Spec of the container.
        init: Whether it is an init container.
        stopping: Set when no more containers are to be created.
    """

    context: PodContext
    container: Json
    init: bool
    stopping: asyncio.Event

    async def create(self) -> RunningContainer | None:
        """Create the container and start its first process; None when `stopping` is set in the meantime.

        Raises:
            CreateContainerError: an image, object or mount that it needs is missing.
            StartError: its first process could not be started.
        """
        image = await self._pull_image()
        if image is None:
            return None
        try:
            env = await environment(self.container, image, await self._environment_sources())
            argv = command(self.container, image, env)
            mounts = container_mounts(self.context.pod, self.container, self.context.volumes.paths, env)
        except (ContainerConfigError, VolumeError, ApiError, OSError) as error:
            raise CreateContainerError("CreateContainerConfigError", str(error)) from error
        if self.stopping.is_set():
            return None
        return await self._start(image, env, argv, mounts)

    def termination_message(self, exit_code: int) -> str:
        """Return the termination message; after a failure the end of the log, if the message policy says so."""
        try:
            message = self._message_file.read_bytes()[:_TERMINATION_MESSAGE_BYTES]
            if not message and exit_code and self.container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                tail = self.log_file.read_bytes()[-_LOG_TAIL_BYTES:]
                message = b"".join(tail.splitlines(keepends=True)[-_LOG_TAIL_LINES:])
        except OSError:
            return ""
        return message.decode(errors="replace")

    @property
    def log_file(self) -> Path:
        """Log of the latest container."""
        name = self.container["name"]
        file: Path = self.context.logs / name / f"{self.context.state.containers[name].restarts}.log"
        return file

    @property
    def _message_file(self) -> Path:
        return self.context.disk / "containers" / str(self.container["name"]) / "termination-log"

    async def _pull_image(self) -> Image | None:
        """Pull the image by its policy; None when `stopping` is set in the meantime."""
        reference, policy = self.container["image"], self.container.get("imagePullPolicy", "IfNotPresent")
        events, pod = self.context.node.events, self.context.pod
        try:
            image = self.context.node.image_table.find(reference)
        except SettingsError as error:
            message = f'Failed to inspect image "{reference}": {error}'
            raise CreateContainerError("ImageInspectError", message) from error
        if image is None:
            if policy == "Never":
                message = f'Container image "{reference}" is not present with pull policy of Never'
                events.container_event(pod, self.container, "ErrImageNeverPull", message, warning=True)
                raise CreateContainerError("ErrImageNeverPull", message)
            message = f'Failed to pull image "{reference}": the image table of this sandbox has no such image'
            events.container_event(pod, self.container, "Failed", message, warning=True)
            raise CreateContainerError("ErrImagePull", message)

        def record(reason: str, message: str) -> None:
            events.container_event(pod, self.container, reason, message)

        pull = asyncio.create_task(self.context.node.images.pull(reference, image, policy, record))
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({pull, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (pull, stopping):
            task.cancel()
        return None if self.stopping.is_set() else image

    async def _environment_sources(self) -> EnvironmentSources:
        context, namespace = self.context, self.context.pod["metadata"]["namespace"]
        links = bool(context.pod["spec"].get("enableServiceLinks", True))
        services = [await context.node.api.get("/api/v1/namespaces/default/services/kubernetes")]
        if links:
            listed = await context.node.api.get(f"/api/v1/namespaces/{namespace}/services")
            api_server_uid = services[0]["metadata"]["uid"]
            services += [each for each in listed["items"] if each["metadata"]["uid"] != api_server_uid]
        return EnvironmentSources(
            pod=context.pod,
            placement=context.placement,
            hostname=context.hostname,
            services=service_variables(services, namespace, links=links),
            lookup=lambda kind, name: context.volumes.get_object(kind, namespace, name),
        )

    async def _start(self, image: Image, env: dict[str, str], argv: list[str], mounts: list[Json]) -> RunningContainer:
        context, state = self.context, self.context.state.containers[self.container["name"]]
        if state.container_id:
            state.restarts += 1
        state.container_id = secrets.token_hex(32)
        self._message_file.parent.mkdir(parents=True, exist_ok=True)
        self._message_file.write_bytes(b"")
        message = {
            "source": str(self._message_file),
            "path": self.container.get("terminationMessagePath") or _TERMINATION_MESSAGE_PATH,
        }
        workdir = self.container.get("workingDir") or image.workdir
        spec = {
            "pause_pid": context.pause_pid,
            "joins": ["uts", "ipc"] if is_host_network(context.pod) else ["uts", "ipc", "net"],
            "root": str(context.node.root.resolve()),
            "hidden": str(context.node.memory),
            "mounts": [*context.file_mounts({mount["path"] for mount in mounts}), message, *mounts],
            "env": env,
            "argv": argv,
            "workdir": workdir,
        }
        context.node.events.container_event(context.pod, self.container, "Created", "Container created")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(self.log_file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            process = await start_process("run", spec, self._message_file.with_name("spec.json"), (null, log, log))
        finally:
            os.close(log)
            os.close(null)
        context.node.events.container_event(context.pod, self.container, "Started", "Container started")
        return RunningContainer(
            context=context,
            container=self.container,
            state=state,
            process=process,
            env=env,
            workdir=workdir,
            init=self.init,
        )
