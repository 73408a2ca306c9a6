"""Derives the name of an engine from everything it is built from, in words and as a hash.

An engine depends on the GPU product, the TensorRT-LLM version and every build option. Settings for the same engine have
the same key on every machine; how the engine is served is not part of it.
"""

import hashlib
import importlib.metadata
import json
import re
from dataclasses import asdict
from typing import Any

from errors import SettingsError
from settings import Settings

_HASH_CHARACTERS = 12


def ingredients(settings: Settings, gpu_product: str, trtllm_version: str) -> dict[str, Any]:
    """Returns everything that determines the engine, and nothing else."""
    model = settings.model
    folder = {"repository": model.repository, "path": model.path}
    return {
        "model": folder if model.uri is None else {"uri": model.uri, "endpoint": model.endpoint},
        "revision": settings.model.revision,
        "tensor_parallelism": settings.tensor_parallelism,
        "pipeline_parallelism": settings.pipeline_parallelism,
        "data_type": settings.data_type,
        "quantization": settings.quantization,
        "gpu_product": gpu_product,
        "trtllm_version": trtllm_version,
        "build": asdict(settings.build),
        "convert": asdict(settings.convert),
        "commands": asdict(settings.commands),
    }


def engine_key(parts: dict[str, Any]) -> str:
    """Returns a folder name for `ingredients`, at most 200 characters of `A-Z a-z 0-9 . _ -`.

    >>> engine_key(parts)
    'meta-llama--Llama-3.1-8B-Instruct-0e9e39f-bfloat16-none-tp1-pp1-NVIDIA-H100-80GB-HBM3-trtllm1.2.1-8c1f2f0a9b3d'
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    source = parts["model"]
    model = source["uri"].replace("://", "-") if "uri" in source else source["repository"] or source["path"].strip("/")
    revision = parts["revision"]
    words = [
        _plain(model.replace("/", "--"), 70),
        _plain(revision[:7] if re.fullmatch(r"[0-9a-f]{40}", revision) else revision, 20),
        parts["data_type"],
        parts["quantization"],
        f"tp{parts['tensor_parallelism']}",
        f"pp{parts['pipeline_parallelism']}",
        _plain(parts["gpu_product"], 40),
        "trtllm" + _plain(parts["trtllm_version"], 20),
        digest[:_HASH_CHARACTERS],
    ]
    return "-".join(words)


def _plain(text: str, characters: int) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:characters] or "x"


def trtllm_version(settings: Settings) -> str:
    """Returns the TensorRT-LLM version of this image or of the settings.

    Raises:
        SettingsError: The versions differ, or neither is known.
    """
    try:
        installed = importlib.metadata.version("tensorrt_llm")
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if installed is None and settings.trtllm_version is None:
        raise SettingsError(
            "this image has no tensorrt_llm, and trtllm_version is not set. Use a -trtllm- image, or set it."
        )
    if installed and settings.trtllm_version and installed != settings.trtllm_version:
        raise SettingsError(
            f"the image has TensorRT-LLM {installed}, and trtllm_version is {settings.trtllm_version}. "
            "An engine runs only with the version that built it: correct the value, or the image tag."
        )
    return str(installed or settings.trtllm_version)
