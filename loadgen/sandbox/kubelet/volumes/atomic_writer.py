"""Updates the files of a volume atomically: a reader sees either all old files or all new files."""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from loadgen.sandbox.kubelet.volumes.payload import FileProjection, Payload

_DATA = "..data"


def write_atomically(folder: Path, payload: Payload) -> bool:
    """Replace the files of a volume.

    The layout is the kubelet's: the files are in a folder named after the current time, the link `..data` points to
    that folder, and the first element of each path is a link into `..data`. Renaming `..data` swaps all files at once.

    Returns:
        Whether a file has changed.
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
    payload: Payload = {}
    for file in folder.rglob("*"):
        if file.is_file():
            mode = file.stat().st_mode & 0o7777
            payload[str(file.relative_to(folder))] = FileProjection(data=file.read_bytes(), mode=mode)
    return payload
