"""All reports of a run into a folder; every file is written whole or not at all."""

from collections.abc import Callable, Collection
from pathlib import Path

from loadgen.analyze.results import Analysis
from loadgen.base.errors import LoadgenError, SettingsError
from loadgen.base.files import replace_file
from loadgen_reports.formats import figures, html, json, junit, markdown

FORMATS = ("json", "html", "markdown", "junit", "figures")
_TEXTS: dict[str, tuple[str, Callable[[Analysis], str]]] = {
    "json": ("analysis.json", json.render),
    "html": ("report.html", html.render),
    "markdown": ("report.md", markdown.render),
    "junit": ("junit.xml", junit.render),
}


def write_reports(analysis: Analysis, folder: Path, formats: Collection[str] = FORMATS) -> dict[str, Path]:
    """Write the reports of a run; what was there before is replaced, file by file.

    Args:
        analysis: The run, judged.
        folder: Where to write, usually the run folder; made when it is missing.
        formats: Which of `FORMATS` to write.

    Returns:
        The path of every file written, by its name below `folder`, such as `report.html` or `figures/load.png`.

    Raises:
        SettingsError: an unknown format.
        LoadgenError: the folder cannot be written; files that were there before are untouched.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise SettingsError(f"no report format {unknown[0]!r}: choose from {', '.join(FORMATS)}")
    written: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FORMATS:
            if name not in formats:
                continue
            if name == "figures":
                written |= _write_figures(analysis, folder)
            else:
                file, render = _TEXTS[name]
                written[file] = _write(folder / file, render(analysis).encode())
    except OSError as error:
        raise LoadgenError(
            f"cannot write reports into {folder}: {error.strerror or error}; "
            f"free space or fix its permissions, then run `loadgen report {folder}`"
        ) from error
    return written


def _write_figures(analysis: Analysis, folder: Path) -> dict[str, Path]:
    images = figures.render(analysis)
    written = {f"figures/{name}": _write(folder / "figures" / name, image) for name, image in images.items()}
    # A figure of an earlier analysis, which this one has not, would tell of another run.
    for name in set(figures.NAMES) - set(images):
        (folder / "figures" / name).unlink(missing_ok=True)
    return written


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, data)
