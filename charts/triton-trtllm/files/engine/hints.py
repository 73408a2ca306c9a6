"""Gives advice on a failed step, from its last lines of output."""

import re

_HINTS = {
    r"\b401\b|Invalid user token|Invalid credentials": (
        "Hugging Face rejects the token: check the Secret that HF_TOKEN comes from."
    ),
    r"\b403\b|gated repo|GatedRepo|awaiting a review": (
        "The model is gated: accept its license on Hugging Face with the token's account."
    ),
    r"\b404\b|RepositoryNotFound|RevisionNotFound": (
        "Hugging Face has no such repository or revision: check model.repository and model.revision."
    ),
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable|Max retries exceeded": (
        "Hugging Face cannot be reached: check DNS, proxy and network policy of the build pod, or put the model on the "
        "volume (model.path)."
    ),
    r"No space left on device|Disk quota exceeded|ENOSPC": (
        "The volume is full: enlarge it, or remove folders of unused keys under engines/."
    ),
    r"Read-only file system": "The volume is mounted read-only: the build Job must be able to write to it.",
    r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|cudaErrorMemoryAllocation": (
        "The GPU ran out of memory: lower build.max_batch_size or build.max_num_tokens, raise "
        "tensor_parallelism, or quantize."
    ),
    r"no CUDA-capable device|CUDA driver version is insufficient|libcuda\.so": (
        "The GPU cannot be used: check that the Job requests nvidia.com/gpu and that the node's driver is new enough "
        "for the image."
    ),
    r"unrecognized arguments|invalid choice": (
        "The program does not support one of these options: check build.extra_args and convert.extra_args."
    ),
    r"\bKilled\b|MemoryError|Cannot allocate memory": "The pod ran out of memory: raise the Job's memory limit.",
}


def hint(exit_code: int, last_lines: list[str]) -> str | None:
    """Returns advice on a failed program, or None if nothing known is in its last lines."""
    text = "\n".join(last_lines)
    for pattern, advice in _HINTS.items():
        if re.search(pattern, text):
            return advice
    if exit_code in (-9, 137):
        return "The program was killed, most likely out of memory: raise the Job's memory limit."
    return None
