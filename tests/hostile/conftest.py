"""Fixtures of the tests of hostile servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.servers.null_server import NoCompilerError, NullServer, null_server


@pytest.fixture(scope="module")
def start_null_server() -> Iterator[Callable[..., NullServer]]:
    """Start null servers, and stop them after the tests of a module; without a compiler the test is skipped."""
    with ExitStack() as servers:

        def start(**options: Any) -> NullServer:
            try:
                return servers.enter_context(null_server(**options))
            except NoCompilerError as error:
                pytest.skip(str(error))

        yield start
