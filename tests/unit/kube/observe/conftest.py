"""An observer of the workload in `support.kube.watched`."""

from pathlib import Path

import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.kube.observe.observer import Observer
from support.kube.watched import CONFIG
from support.servers.metrics import run_folder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path)


@pytest.fixture
def observer(folder: RunFolder) -> Observer:
    return Observer(folder, CONFIG, request_lease=lambda node: None)
