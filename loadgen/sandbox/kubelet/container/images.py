"""Which local program stands for which image, and what of it a node has pulled."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from loadgen.base.checked import Settings
from loadgen.base.errors import SettingsError
from loadgen.sandbox.kubelet.meta import go_duration


class Image(Settings):
    """One line of the image table.

    Attributes:
        match: Regular expression that the whole image reference must match.
        entrypoint: Command of a container that names none.
        cmd: Its arguments when the container names neither command nor arguments.
        env: Environment of its containers, which their own variables override.
        path: Folders put first on PATH.
        programs: What stands for the programs that the image has at fixed paths.
        workdir: Working directory of a container that names none.
        pull_s: Emulated time of its first pull on a node; None takes the node's.
        size_bytes: What the event of the pull says.
    """

    match: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    path: tuple[str, ...] = ()
    programs: dict[str, str] = Field(default_factory=dict)
    workdir: str = "/"
    pull_s: Annotated[float, Field(ge=0)] | None = None
    size_bytes: Annotated[int, Field(ge=0)] = 0


class ImageTable:
    """The table in a JSON or YAML file: a list of images, the first that matches counts; read again when it changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at_ns = -1
        self._images: list[tuple[re.Pattern[str], Image]] = []

    def find(self, reference: str) -> Image | None:
        """What stands for an image, or None.

        Raises:
            SettingsError: the table cannot be read or is wrong.
        """
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns != self._read_at_ns:
                self._images = read_table(self._file.read_text())
                self._read_at_ns = changed_ns
        except OSError as error:
            raise SettingsError(f"the image table {self._file} cannot be read ({error.strerror})") from error
        return next((image for pattern, image in self._images if pattern.fullmatch(reference)), None)


def read_table(text: str) -> list[tuple[re.Pattern[str], Image]]:
    """The lines of an image table with their patterns.

    Raises:
        SettingsError: it is no list of images.
    """
    try:
        lines = yaml.safe_load(text)
        images = [Image(**line) for line in lines]
        return [(re.compile(image.match), image) for image in images]
    except (yaml.YAMLError, TypeError, ValidationError, re.error) as error:
        raise SettingsError(f"the image table is wrong ({error}); it is a list of images, see the README") from error


def default_tag(reference: str) -> str:
    """The reference with the tag `latest` when it has neither tag nor digest."""
    return reference if re.search(r"(:[\w][\w.-]*|@[\w]+:[0-9a-f]+)$", reference) else f"{reference}:latest"


@dataclass(slots=True)
class ImageStore:
    """What of the images a node has pulled; the first pull takes its emulated time, and the others wait for it.

    Attributes:
        pull_s: Time of a pull whose image says none.
    """

    pull_s: float
    _pulls: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    def present(self, reference: str) -> bool:
        """Whether the image has been pulled on this node."""
        pull = self._pulls.get(reference)
        return pull is not None and pull.done()

    async def pull(self, reference: str, image: Image, policy: str, say: Callable[[str, str], None]) -> None:
        """See that the image is on the node.

        Args:
            reference: The image as the container names it.
            image: Its line in the table.
            policy: The container's imagePullPolicy.
            say: Receives reason and message of each event.
        """
        if policy == "Never" or (policy == "IfNotPresent" and self.present(reference)):
            say(
                "Pulled",
                f'Container image "{reference}" already present on machine and can be accessed by the pod',
            )
            return
        say("Pulling", f'Pulling image "{reference}"')
        asked_s = time.monotonic()
        if reference not in self._pulls:
            duration_s = self.pull_s if image.pull_s is None else image.pull_s
            self._pulls[reference] = asyncio.create_task(asyncio.sleep(duration_s))
        await asyncio.shield(self._pulls[reference])
        took = go_duration(time.monotonic() - asked_s)
        say(
            "Pulled",
            f'Successfully pulled image "{reference}" in {took} ({took} including waiting). '
            f"Image size: {image.size_bytes} bytes.",
        )
