"""Runs a command where only some folders can be written, as in a container with `readOnlyRootFilesystem`."""

from pathlib import Path

# /mnt becomes the root; mounts of this machine that cannot be changed stay as they are
_SCRIPT = """
mount --rbind / /mnt
while read -r _ point _; do
    case "$point" in
    /mnt* | /proc* | /sys* | /dev*) ;;
    *) mount -o remount,bind,ro "/mnt$point" 2>/dev/null || true ;;
    esac
done </proc/self/mounts
for folder in /tmp /dev/shm; do
    mount -t tmpfs tmpfs "/mnt$folder"
done
mkdir -p "/mnt$1"
mount --bind "$1" "/mnt$1"
mount -o "remount,bind,$2" "/mnt$1"
shift 2
if touch /mnt/usr/writable 2>/dev/null; then
    echo "the root file system is not read-only" >&2
    exit 99
fi
exec chroot /mnt env HOME=/tmp "$@"
"""


def read_only_root(folder: Path, *, writable: bool) -> list[str]:
    """The start of a command that runs the rest with a read-only root, beside `/tmp` and `/dev/shm` of its own.

    Args:
        folder: A folder that the command sees, a volume.
        writable: Whether it can be written.
    """
    mode = "rw" if writable else "ro"
    return [
        "unshare",
        "--map-root-user",
        "--mount",
        "--propagation=private",
        "sh",
        "-ec",
        _SCRIPT,
        "sh",
        str(folder),
        mode,
    ]
