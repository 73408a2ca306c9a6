"""Determines the GPU product that an engine is built for, and checks that this machine has it.

The settings list the products that pods may be scheduled on, as values of the node label `nvidia.com/gpu.product`. With
one product, the key uses it, so a machine without a GPU can determine the key, too. With several, the key uses the
product that `nvidia-smi` reports: each product has its own engine and build Job. If `nvidia-smi` exists, its output is
checked, and a serving pod on another product ends with an error.
"""

import re
import shutil
import subprocess

from errors import SettingsError, warn

CHECKS = ("require", "auto", "off")
_ANSWER_WITHIN_S = 60


def product(allowed: tuple[str, ...], check: str = "auto", nvidia_smi: str = "nvidia-smi", chosen: str = "") -> str:
    """Returns the GPU product that the engine is built for, as a label value.

    Args:
        allowed: The products of the settings; empty allows any product.
        check: `require` output of `nvidia-smi`, check it if there is any (`auto`), or never run it (`off`).
        nvidia_smi: The program to run.
        chosen: One of `allowed`, for a machine without `nvidia-smi`.

    Raises:
        SettingsError: The product is unknown or not allowed.
    """
    labels = [_label(name) for name in allowed]
    if chosen and labels and _label(chosen) not in labels:
        raise SettingsError(f"--gpu-product {chosen} is not in gpu_product ({', '.join(labels)}). Use one of these.")
    wanted = [_label(chosen)] if chosen else labels
    found = None if check == "off" else _installed(nvidia_smi)
    if found is None:
        if check == "require":
            raise SettingsError(
                f"{nvidia_smi} found no GPU here. Request a GPU for this container, and check the driver."
            )
        if len(wanted) != 1:
            raise SettingsError(
                f"gpu_product has {len(wanted)} products, and {nvidia_smi} is not used or not found, so the "
                "engine cannot be chosen. Request a GPU for this container, or pass --gpu-product."
            )
        if check == "auto":
            warn(f"GPU product {wanted[0]}: taken from the settings, without {nvidia_smi} to check it.")
        return wanted[0]
    for label in wanted:
        if _label(found) == _chip(label):
            return label
    if wanted:
        raise SettingsError(
            f"this machine's GPU is {_label(found)}, and the settings allow {', '.join(wanted)}. An engine runs only "
            "on the product that it was built for: correct gpu_product or the pod's node affinity."
        )
    return _label(found)


def _label(name: str) -> str:
    """Returns a product's name as GPU feature discovery writes it in the node label."""
    return re.sub(r"\s+", "-", name.strip())


def _chip(label: str) -> str:
    """Returns the label without the suffix that feature discovery adds for shared and partitioned GPUs."""
    return re.sub(r"(-SHARED|-MIG-.*)$", "", label)


def _installed(nvidia_smi: str) -> str | None:
    program = shutil.which(nvidia_smi)
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"{nvidia_smi} did not answer: {error}. Check the node's driver.") from error
    names = sorted({line.strip() for line in answer.stdout.splitlines() if line.strip()})
    if answer.returncode != 0 or not names:
        return None
    if len(names) > 1:
        raise SettingsError(f"this machine has different GPUs ({', '.join(names)}). Request GPUs of one product.")
    return names[0]
