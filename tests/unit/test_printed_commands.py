"""Every command that the documentation prints is run by a test, or listed with the reason why none runs it."""

import pytest

from support.docs.commands import AS_PRINTED, DOCUMENTS, NOT_HERE, PARTS_OF_CI, ROOT, WITH_SUBSTITUTIONS, printed

FILES = {**AS_PRINTED, **{command: file for command, (_, file) in WITH_SUBSTITUTIONS.items()}}
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_printed_command_is_accounted_for(document: str) -> None:
    """A command is run as printed, with substitutions, as a part of CI, or is listed with a reason."""
    unknown = [
        command
        for command in printed(document)
        if command not in FILES and command not in NOT_HERE and not PARTS_OF_CI.fullmatch(command)
    ]
    assert not unknown, f"{document}: add to tests/support/docs/commands.py how these commands are run: {unknown}"


def test_the_tables_have_only_printed_commands() -> None:
    """A command that no document prints any more leaves its table."""
    everything = {command for document in DOCUMENTS for command in printed(document)}
    assert sorted({*FILES, *NOT_HERE} - everything) == []


def test_the_files_of_the_tables_exist() -> None:
    """Each file exists, and CI contains the commands that it runs as printed."""
    assert not [file for file in FILES.values() if not (ROOT / file).is_file()]
    assert not [command for command, file in AS_PRINTED.items() if file == ".ci/run" and command not in CI]
