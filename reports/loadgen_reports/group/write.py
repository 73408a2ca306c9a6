"""Writes the reports of a group into its folder; every file is replaced atomically."""

from collections.abc import Collection
from pathlib import Path

from loadgen.analyze.results import Group
from loadgen.base.files import replace_file
from loadgen_reports.group import render
from loadgen_reports.write import cannot_write, check_formats

_FILES = {
    "json": ("group.json", render.json),
    "html": ("report.html", render.html),
    "markdown": ("report.md", render.markdown),
    "junit": ("junit.xml", render.junit),
}


def write_group(group: Group, folder: Path, formats: Collection[str]) -> dict[str, Path]:
    """Write the reports of a group; it has no figures.

    Args:
        group: The group.
        folder: Where to write; created when it is missing.
        formats: Names of formats, as for a run.

    Returns:
        The path of every file written, by its name.

    Raises:
        SettingsError: an unknown format.
        LoadgenError: the folder cannot be written.
    """
    check_formats(formats)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {
            file: replace_file(folder / file, render_one(group).encode())
            for name, (file, render_one) in _FILES.items()
            if name in formats
        }
    except OSError as error:
        raise cannot_write(folder, error) from error
