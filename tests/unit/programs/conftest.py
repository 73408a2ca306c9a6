"""A fixture for progress lines."""

import pytest


@pytest.fixture
def lines() -> list[str]:
    return []
