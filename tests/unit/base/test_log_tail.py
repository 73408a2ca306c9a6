"""The end of a log, in one line."""

from pathlib import Path

import pytest

from loadgen.base.log_tail import log_tail

PANIC = "starting\npanic: failed to create WAL\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:40 +0xf3\n"


@pytest.mark.parametrize(
    ("text", "lines", "tail"),
    [
        ("a\nb\n\nc\nd\n", 2, "c / d"),
        ("a\nb\n\nc\nd\n", 3, "b / c / d"),
        ("one\ntwo  \n\n", 1, "two"),
        (PANIC, 2, "starting / panic: failed to create WAL"),
        (PANIC, 1, "panic: failed to create WAL"),
        (PANIC + "started again\nfine\n", 2, "started again / fine"),
        ("x" * 501, 1, "x" * 500),
        ("\n \n", 3, "the log is empty"),
        ("", 3, "the log is empty"),
    ],
)
def test_the_last_lines_that_are_not_blank_are_joined(tmp_path: Path, text: str, lines: int, tail: str) -> None:
    """A stack trace at the end is left out for the reason of the panic."""
    log = tmp_path / "log"
    log.write_text(text)
    assert log_tail(log, lines) == tail


def test_only_the_end_of_a_large_log_is_read(tmp_path: Path) -> None:
    """A panic further back than 64 KiB does not count."""
    log = tmp_path / "log"
    log.write_text("panic: early\n" + "\tline of a stack trace\n" * 4000)
    assert log_tail(log, 1) == "line of a stack trace"


def test_a_missing_log_is_reported(tmp_path: Path) -> None:
    """The sentence then says that there is no log."""
    assert log_tail(tmp_path / "none") == "no log was written"
