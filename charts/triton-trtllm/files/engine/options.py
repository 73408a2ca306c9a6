"""Command-line flags shared by the build, the wait and the model repository."""

import argparse
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import gpu
import key
import settings as engine_settings
from errors import TERMINATION_LOG
from settings import Settings
from store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The settings, the key of the engine, and its folder on the volume."""

    settings: Settings
    ingredients: dict[str, object]
    key: str
    store: Store


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the shared flags."""
    made = argparse.ArgumentParser(description=(description or "").split("\n")[0], allow_abbrev=False)
    made.add_argument("--settings", required=True, help="the JSON file of settings.py")
    made.add_argument("--root", default="/engines", help="where the volume is mounted")
    made.add_argument(
        "--gpu-check", choices=gpu.CHECKS, default="auto", help="whether to run nvidia-smi: require, if found, never"
    )
    made.add_argument("--gpu-product", default="", help="one of gpu_product, for a machine without nvidia-smi")
    made.add_argument("--nvidia-smi", default="nvidia-smi", help="program that reports the GPU")
    made.add_argument(
        "--termination-log", default=TERMINATION_LOG, help="file for the final error message, read by the kubelet"
    )
    return made


def owner() -> str:
    """Returns the name of this builder: its pod, or host and process id."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()} (process {os.getpid()})"


def resolve(args: argparse.Namespace) -> Resolved:
    """Reads the settings and determines the key.

    Raises:
        SettingsError: The settings are invalid, or do not fit the GPU or the image's TensorRT-LLM.
    """
    settings = engine_settings.load(args.settings)
    product = gpu.product(settings.gpu_product, args.gpu_check, args.nvidia_smi, args.gpu_product)
    parts = key.ingredients(settings, product, key.trtllm_version(settings))
    name = key.engine_key(parts)
    return Resolved(settings=settings, ingredients=parts, key=name, store=Store(Path(args.root), name))
