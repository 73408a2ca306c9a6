"""Writes the files of a volume so that a reader sees all of the old ones or all of the new ones."""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from loadgen.sandbox.kubelet.volumes.projection import FileContent, Payload

_DATA = "..data"


def write_atomically(folder: Path, payload: Payload) -> bool:
    """Make the volume hold exactly these files.

    As any kubelet lays them out: the files stand in a folder named after the time, `..data` points at it, and the first
    element of each path is a link into `..data`; renaming that one link swaps all at once.

    Returns:
        Whether anything changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = folder / (folder / _DATA).readlink() if (folder / _DATA).is_symlink() else None
    if old and _read(old) == payload:
        return False
    new = Path(tempfile.mkdtemp(prefix=time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime()), dir=folder))
    new.chmod(0o755)
    for path, content in payload.items():
        file = new / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.data)
        file.chmod(content.mode)
    swap = folder / "..data_tmp"
    with contextlib.suppress(FileNotFoundError):
        swap.unlink()
    swap.symlink_to(new.name)
    swap.replace(folder / _DATA)
    names = {path.split("/")[0] for path in payload}
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")
    if old:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _read(folder: Path) -> Payload:
    found: Payload = {}
    for file in folder.rglob("*"):
        if file.is_file():
            mode = file.stat().st_mode & 0o7777
            found[str(file.relative_to(folder))] = FileContent(data=file.read_bytes(), mode=mode)
    return found
