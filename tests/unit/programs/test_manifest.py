"""Damaged programs in the cache: found before a start, replaced and never executed; caches of earlier versions."""

import hashlib
import json
import os
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from loadgen.base.errors import StackError
from loadgen.programs import manifest
from loadgen.programs.cache import ensure_cached
from loadgen.programs.manifest import MANIFEST, changed_since_installed, damaged_file, incomplete_program

SCRIPT = b"#!/bin/sh\ntouch planted\n"
ELF = Path("/bin/true").read_bytes()


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def get(cache: Path, lines: list[str], inspect=None) -> Path:
    """Return the folder `p` with a program and a library, which the build copies."""

    def build(folder: Path) -> None:
        lines.append("build")
        (folder / "lib").mkdir()
        (folder / "lib/a.so").write_bytes(ELF)
        (folder / "lib/link.so").symlink_to("a.so")
        shutil.copy("/bin/true", folder / "program")

    return ensure_cached("p", ("program",), build, needs_bytes=0, cache=cache, progress=lines.append, inspect=inspect)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def keep_size_and_time(path: Path) -> None:
    """One bit of the middle differs; the modification time is set back."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/bin/false")


DAMAGES = [
    truncate,
    keep_size_and_time,
    link,
    Path.unlink,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(SCRIPT),
    lambda path: path.chmod(0o600),
]


@pytest.mark.parametrize("file", ["program", "lib/a.so"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_replaced_before_the_program_is_returned(cache, lines, file, damage):
    """One line names folder and file."""
    folder = get(cache, lines)
    damage(folder / file)
    lines.clear()
    assert get(cache, lines) == folder
    assert lines == [f"{folder} is damaged ({file} differs from what was fetched or built): replacing it", "build"]
    assert (folder / file).read_bytes() == ELF
    assert damaged_file(folder, ["program"]) is None


def test_a_link_to_another_file_is_damage(cache, lines):
    """The text of a link counts, not the file that it leads to."""
    folder = get(cache, lines)
    (folder / "lib/link.so").unlink()
    (folder / "lib/link.so").symlink_to("../program")
    get(cache, lines)
    assert lines[1:] == [
        f"{folder} is damaged (lib/link.so differs from what was fetched or built): replacing it",
        "build",
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"program": [1, 2]}', b"\xff"])
def test_a_folder_with_a_damaged_manifest_is_replaced(cache, lines, content):
    """Nothing in the folder can be judged."""
    (get(cache, lines) / MANIFEST).write_bytes(content)
    get(cache, lines)
    assert lines[2:] == ["build"]


def test_an_unchanged_folder_is_not_read_again(cache, lines, monkeypatch):
    """The check compares sizes, times and inodes; bytecode that Python added is no damage."""
    folder = get(cache, lines)
    (folder / "lib/__pycache__").mkdir()
    (folder / "lib/__pycache__/a.pyc").touch()
    monkeypatch.setattr(manifest, "_sha256", lambda *_: pytest.fail("a checksum was computed"))
    assert get(cache, lines) == folder
    assert lines == ["build"]


def test_a_copied_cache_is_used_after_one_check(cache, lines, tmp_path):
    """The content is the same; the new times are recorded."""
    folder = get(cache, lines)
    shutil.copytree(cache, tmp_path / "copy", symlinks=True)
    assert get(tmp_path / "copy", lines) == tmp_path / "copy/p"
    assert lines == ["build"]
    assert json.loads((tmp_path / "copy/p" / MANIFEST).read_text()) != json.loads((folder / MANIFEST).read_text())


# --- caches of earlier versions ---------------------------------------------------------------------------------------


def test_a_cache_of_an_earlier_version_is_used_where_it_is_whole(cache, lines):
    """It gets a manifest and is not fetched again."""
    (cache / "p").mkdir(parents=True)
    shutil.copy("/bin/true", cache / "p/program")
    get(cache, lines)
    assert lines == []
    assert (cache / "p" / MANIFEST).is_file()


@pytest.mark.parametrize("content", [b"", SCRIPT, ELF[:-1], ELF[:100], ELF[:10]])
def test_a_cache_of_an_earlier_version_is_replaced_where_it_is_damaged(cache, lines, content):
    """Without a checksum, empty and truncated files and scripts are found by the format of programs."""
    (cache / "p").mkdir(parents=True)
    (cache / "p/program").write_bytes(content)
    get(cache, lines)
    assert lines[-1] == "build"
    assert (cache / "p/program").read_bytes() == ELF


def test_files_that_are_no_programs_need_only_content(tmp_path):
    """Definitions and Python files are text."""
    (tmp_path / "crd.yaml").write_text("kind: CustomResourceDefinition")
    assert incomplete_program(tmp_path, ["crd.yaml"]) is None
    (tmp_path / "crd.yaml").write_text("")
    assert incomplete_program(tmp_path, ["crd.yaml"]) == "crd.yaml"


def test_an_installed_package_is_compared_with_its_record(tmp_path):
    """All files count, libraries included; a package without a record cannot be judged."""
    (tmp_path / "library.so").write_bytes(b"library")
    assert changed_since_installed(tmp_path) == "RECORD"
    digest = urlsafe_b64encode(hashlib.sha256(b"library").digest()).decode().rstrip("=")
    (tmp_path / "a-1.dist-info").mkdir()
    (tmp_path / "a-1.dist-info/RECORD").write_text(f"library.so,sha256={digest},7\na-1.dist-info/RECORD,,\n")
    assert changed_since_installed(tmp_path) is None
    (tmp_path / "library.so").write_bytes(b"librarY")
    assert changed_since_installed(tmp_path) == "library.so"
    (tmp_path / "library.so").unlink()
    assert changed_since_installed(tmp_path) == "library.so"


def test_a_folder_that_cannot_be_inspected_is_replaced(cache, lines):
    """As one that lacks a file that only the inspection reads."""
    (cache / "p").mkdir(parents=True)
    (cache / "p/program").touch()
    get(cache, lines, lambda folder: (folder / "missing").read_text())
    assert lines[-1] == "build"


# --- who can write to the cache ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702, 0o720])
def test_a_cache_that_others_can_write_to_is_refused(cache, lines, mode):
    """Also when it is complete; the message says what to do."""
    get(cache, lines)
    cache.chmod(mode)
    with pytest.raises(StackError, match=rf"Other users can write to the cache .* \(mode {mode:04o}\).*chmod -R go-w"):
        get(cache, lines)


def test_a_cache_of_another_user_is_refused(cache, lines, monkeypatch):
    """Its owner could replace the programs."""
    get(cache, lines)
    if os.geteuid() == 0:
        os.chown(cache, 1, 1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: cache.stat().st_uid + 1)
    with pytest.raises(StackError, match=r"belongs to another user .*set XDG_CACHE_HOME"):
        get(cache, lines)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0])
def test_the_cache_is_for_its_owner_only(cache, lines, umask):
    """Whatever the umask; an existing cache that others can read is closed to them."""
    before = os.umask(umask)
    try:
        get(cache / "below", lines)
    finally:
        os.umask(before)
    assert (cache / "below").stat().st_mode & 0o777 == 0o700
    (cache / "below").chmod(0o755)
    get(cache / "below", lines)
    assert (cache / "below").stat().st_mode & 0o777 == 0o700
