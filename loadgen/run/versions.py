"""Finds the versions of Python and of the packages that a run depends on."""

import platform
from importlib.metadata import PackageNotFoundError, version

_RECORDED_PACKAGES = (
    "triton-loadgen",
    "locust",
    "tritonclient",
    "grpcio",
    "gevent",
    "geventhttpclient",
    "prometheus-api-client",
    "numpy",
    "pandas",
    "pyarrow",
)


def recorded_versions() -> dict[str, str]:
    """The versions by name, for `run.json`."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed as a package"
    return versions
