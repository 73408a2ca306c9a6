"""Makes a container from its spec: image, environment, command, mounts, first process."""

import asyncio
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from loadgen.base.errors import SettingsError
from loadgen.sandbox.kubelet.api import ApiError
from loadgen.sandbox.kubelet.container.attempt import Attempt
from loadgen.sandbox.kubelet.container.environment import (
    EnvironmentFault,
    Scene,
    command,
    environment,
    service_variables,
)
from loadgen.sandbox.kubelet.container.images import Image
from loadgen.sandbox.kubelet.container.process import start_inside
from loadgen.sandbox.kubelet.context import PodRoom
from loadgen.sandbox.kubelet.meta import Json, is_host_network
from loadgen.sandbox.kubelet.volumes.projection import VolumeFault
from loadgen.sandbox.kubelet.volumes.volumes import container_mounts

_MESSAGE_PATH = "/dev/termination-log"
_MESSAGE_BYTES = 4096
_LOG_TAIL_BYTES, _LOG_TAIL_LINES = 2048, 80


class NotCreated(Exception):
    """The container cannot be created yet and waits.

    Attributes:
        reason: Such as ErrImageNeverPull or CreateContainerConfigError.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """Creates one container of a pod, again and again.

    Attributes:
        room: What it shares with its pod.
        container: Its spec.
        init: Whether it is an init container.
        stop: Set when it is to be created no more.
    """

    room: PodRoom
    container: Json
    init: bool
    stop: asyncio.Event

    async def create(self) -> Attempt | None:
        """The container, running; None when it was told to stop meanwhile.

        Raises:
            NotCreated: it has to wait for something.
            StartError: its first process could not be started.
        """
        image = await self._image()
        if image is None:
            return None
        try:
            env = await environment(self.container, image, await self._scene())
            argv = command(self.container, image, env)
            mounts = container_mounts(self.room.pod, self.container, self.room.volumes.paths, env)
        except (EnvironmentFault, VolumeFault, ApiError, OSError) as error:
            raise NotCreated("CreateContainerConfigError", str(error)) from error
        if self.stop.is_set():
            return None
        return await self._start(image, env, argv, mounts)

    def last_words(self, exit_code: int) -> str:
        """What the container left in its termination message, or after a failure the end of its log, if it says so."""
        try:
            words = self._message_file.read_bytes()[:_MESSAGE_BYTES]
            if not words and exit_code and self.container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                tail = self.log_file.read_bytes()[-_LOG_TAIL_BYTES:]
                words = b"".join(tail.splitlines(keepends=True)[-_LOG_TAIL_LINES:])
        except OSError:
            return ""
        return words.decode(errors="replace")

    @property
    def log_file(self) -> Path:
        """The log of the container that runs or ran at last."""
        name = self.container["name"]
        file: Path = self.room.logs / name / f"{self.room.state.containers[name].restarts}.log"
        return file

    @property
    def _message_file(self) -> Path:
        return self.room.disk / "containers" / str(self.container["name"]) / "termination-log"

    async def _image(self) -> Image | None:
        reference, policy = self.container["image"], self.container.get("imagePullPolicy", "IfNotPresent")
        events, pod = self.room.node.events, self.room.pod
        try:
            image = self.room.node.table.find(reference)
        except SettingsError as error:
            raise NotCreated("ImageInspectError", f'Failed to inspect image "{reference}": {error}') from error
        if image is None:
            message = f'Container image "{reference}" is not present with pull policy of Never'
            events.of_container(pod, self.container, "ErrImageNeverPull", message, warning=True)
            raise NotCreated("ErrImageNeverPull", message)

        def say(reason: str, message: str) -> None:
            events.of_container(pod, self.container, reason, message)

        pull = asyncio.create_task(self.room.node.images.pull(reference, image, policy, say))
        stop = asyncio.create_task(self.stop.wait())
        await asyncio.wait({pull, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in (pull, stop):
            task.cancel()
        return None if self.stop.is_set() else image

    async def _scene(self) -> Scene:
        room, namespace = self.room, self.room.pod["metadata"]["namespace"]
        links = bool(room.pod["spec"].get("enableServiceLinks", True))
        services = [await room.node.api.get("/api/v1/namespaces/default/services/kubernetes")]
        if links:
            listed = await room.node.api.get(f"/api/v1/namespaces/{namespace}/services")
            own = services[0]["metadata"]["uid"]
            services += [each for each in listed["items"] if each["metadata"]["uid"] != own]
        return Scene(
            pod=room.pod,
            place=room.place,
            hostname=room.hostname,
            services=service_variables(services, namespace, links=links),
            lookup=lambda kind, name: room.volumes.find(kind, namespace, name),
        )

    async def _start(self, image: Image, env: dict[str, str], argv: list[str], mounts: list[Json]) -> Attempt:
        room, state = self.room, self.room.state.containers[self.container["name"]]
        if state.container_id:
            state.restarts += 1
        state.container_id = secrets.token_hex(32)
        self._message_file.parent.mkdir(parents=True, exist_ok=True)
        self._message_file.write_bytes(b"")
        message = {
            "source": str(self._message_file),
            "path": self.container.get("terminationMessagePath") or _MESSAGE_PATH,
        }
        workdir = self.container.get("workingDir") or image.workdir
        spec = {
            "pause_pid": room.pause_pid,
            "joins": ["uts", "ipc"] if is_host_network(room.pod) else ["uts", "ipc", "net"],
            "root": str(room.node.root.resolve()),
            "hidden": str(room.node.memory),
            "mounts": [*room.file_mounts({mount["path"] for mount in mounts}), message, *mounts],
            "env": env,
            "argv": argv,
            "workdir": workdir,
        }
        room.node.events.of_container(room.pod, self.container, "Created", "Container created")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(self.log_file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            process = await start_inside("run", spec, self._message_file.with_name("spec.json"), (null, log, log))
        finally:
            os.close(log)
            os.close(null)
        room.node.events.of_container(room.pod, self.container, "Started", "Container started")
        return Attempt(
            room=room, container=self.container, state=state, process=process, env=env, workdir=workdir, init=self.init
        )
