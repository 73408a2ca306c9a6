"""The image table, which maps images to local programs, and the images that a node has pulled."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from loadgen.base.checked import Settings, error_sentence
from loadgen.base.errors import SettingsError
from loadgen.base.text import clean
from loadgen.base.yaml_text import parse_yaml
from loadgen.sandbox.kubelet.objects import go_duration


class Image(Settings):
    """One entry of the image table.

    Attributes:
        match: Regular expression that must match the whole image reference.
        entrypoint: Command of a container without `command`.
        cmd: Arguments of a container without `command` and `args`.
        env: Default environment of its containers.
        path: Folders at the beginning of PATH.
        programs: Local programs that replace the image's programs at fixed paths.
        workdir: Default working directory of its containers.
        pull_s: Emulated duration of the first pull on a node; None takes the node's.
        size_bytes: Image size in the event of the pull.
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
    """The image table in a JSON or YAML file; the first matching entry applies, and a changed file is read again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._modified_ns = -1
        self._images: list[tuple[re.Pattern[str], Image]] = []

    def find(self, reference: str) -> Image | None:
        """Return the entry for an image reference, or None.

        Raises:
            SettingsError: the table cannot be read or is invalid.
        """
        try:
            modified_ns = self._file.stat().st_mtime_ns
            if modified_ns != self._modified_ns:
                self._images = parse_image_table(self._file.read_text())
                self._modified_ns = modified_ns
        except OSError as error:
            raise SettingsError(f"the image table {self._file} cannot be read ({error.strerror})") from error
        return next((image for pattern, image in self._images if pattern.fullmatch(reference)), None)


def parse_image_table(text: str) -> list[tuple[re.Pattern[str], Image]]:
    """Return the entries of an image table with their compiled patterns.

    Raises:
        SettingsError: the text is not a valid list of entries.
    """
    try:
        images = [Image.model_validate(entry) for entry in parse_yaml(text)]
        return [(re.compile(image.match), image) for image in images]
    except ValidationError as error:
        reason = error_sentence("entry", error)
    except (ValueError, TypeError, re.error, OverflowError, RecursionError) as error:
        reason = clean(error)
    raise SettingsError(f"the image table is invalid ({reason}); write it as the README describes")


@dataclass(slots=True)
class ImageStore:
    """The images that a node has pulled; a pull takes its emulated duration once, and concurrent pulls share it.

    Attributes:
        pull_s: Duration of the pull of an image without a duration of its own.
    """

    pull_s: float
    _pulls: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    def present(self, reference: str) -> bool:
        """Return whether the image has been pulled on this node."""
        pull = self._pulls.get(reference)
        return pull is not None and pull.done()

    async def pull(self, reference: str, image: Image, policy: str, record: Callable[[str, str], None]) -> None:
        """Pull an image if its policy requires it.

        Args:
            reference: The image reference of the container.
            image: The entry of the image table.
            policy: The imagePullPolicy of the container.
            record: Records an event with this reason and message.
        """
        if policy == "Never" or (policy == "IfNotPresent" and self.present(reference)):
            message = f'Container image "{reference}" already present on machine and can be accessed by the pod'
            record("Pulled", message)
            return
        record("Pulling", f'Pulling image "{reference}"')
        started_s = time.monotonic()
        if reference not in self._pulls:
            duration_s = self.pull_s if image.pull_s is None else image.pull_s
            self._pulls[reference] = asyncio.create_task(asyncio.sleep(duration_s))
        await asyncio.shield(self._pulls[reference])
        took = go_duration(time.monotonic() - started_s)
        record(
            "Pulled",
            f'Successfully pulled image "{reference}" in {took} ({took} including waiting). '
            f"Image size: {image.size_bytes} bytes.",
        )
