"""Writes the reports of a run into a folder; every file is replaced atomically."""

from collections.abc import Collection
from pathlib import Path

from loadgen.analyze.results import Analysis
from loadgen.base.errors import LoadgenError, SettingsError
from loadgen.base.files import disk_problem, replace_file
from loadgen.base.proposals import meant

FORMATS = ("json", "html", "markdown", "junit", "figures")
_FILES = {"html": "report.html", "markdown": "report.md", "junit": "junit.xml"}


def write_reports(analysis: Analysis, folder: Path, formats: Collection[str] = FORMATS) -> dict[str, Path]:
    """Write the reports of a run, replacing earlier ones file by file.

    Args:
        analysis: The analysis of the run.
        folder: Where to write, usually the run folder; created when it is missing.
        formats: Which of `FORMATS` to write.

    Returns:
        The path of every file written, by its name below `folder`, such as `report.html` or `figures/load.png`.

    Raises:
        SettingsError: an unknown format.
        LoadgenError: the folder cannot be written; existing files are unchanged.
    """
    check_formats(formats)
    written: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FORMATS:
            if name not in formats:
                continue
            if name == "figures":
                written |= _write_figures(analysis, folder)
            elif name == "json":
                written |= _write_json(analysis, folder)
            else:
                file = _FILES[name]
                written[file] = _write(folder / file, _render(name, analysis).encode())
    except OSError as error:
        raise cannot_write(folder, error) from error
    return written


def cannot_write(folder: Path, error: OSError) -> LoadgenError:
    """The error for reports that could not be written: why, and what to do about it."""
    reason, advice = disk_problem(error, folder)
    return LoadgenError(f"cannot write reports into {folder}: {reason}; {advice}, then run `loadgen report {folder}`")


def check_formats(formats: Collection[str]) -> None:
    """Check the names of report formats.

    Raises:
        SettingsError: a name is not one of `FORMATS`.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise SettingsError(
            f"no report format {unknown[0]!r}{meant(unknown[0], FORMATS)}: choose from {', '.join(FORMATS)}"
        )


def _render(name: str, analysis: Analysis) -> str:
    # imported here, since a format that is not written should not cost its imports
    match name:
        case "html":
            from loadgen_reports.formats import html

            return html.render(analysis)
        case "markdown":
            from loadgen_reports.formats import markdown

            return markdown.render(analysis)
        case _:
            from loadgen_reports.formats import junit

            return junit.render(analysis)


def _write_json(analysis: Analysis, folder: Path) -> dict[str, Path]:
    from loadgen_reports.formats import json

    files = json.files(analysis)  # `analysis.json`, which names the others, comes last
    written = {name: _write(folder / name, data) for name, data in files.items()}
    for outdated in set((folder / json.FOLDER).glob("*.parquet")) - set(written.values()):
        outdated.unlink(missing_ok=True)
    return written


def _write_figures(analysis: Analysis, folder: Path) -> dict[str, Path]:
    from loadgen_reports.formats import figures  # matplotlib takes a second

    images = figures.render(analysis)
    written = {f"figures/{name}": _write(folder / "figures" / name, image) for name, image in images.items()}
    # A figure of an earlier analysis that this one does not have would be outdated.
    for name in set(figures.NAMES) - set(images):
        (folder / "figures" / name).unlink(missing_ok=True)
    return written


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, data)
