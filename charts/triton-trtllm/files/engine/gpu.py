"""Which GPU product an engine is for, and whether this machine has it.

The settings list the products that pods may land on, in the form of the node label `nvidia.com/gpu.product`. With one
product the key takes it from the settings, so that a machine without a GPU can name the engine too. With several
the key takes what `nvidia-smi` says here: each product has an engine (and a build Job) of its own. Wherever
`nvidia-smi` is there, its answer is checked: a serving pod on another product than the engine's ends with a sentence.
"""

import re
import shutil
import subprocess

from errors import SettingsError, tell

CHECKS = ("require", "auto", "off")
_ANSWER_WITHIN_S = 60


def product(allowed: tuple[str, ...], check: str = "auto", nvidia_smi: str = "nvidia-smi", chosen: str = "") -> str:
    """Returns the GPU product that the engine is for, in label form.

    Args:
        allowed: The products of the settings; empty allows every product that `nvidia-smi` finds.
        check: `require` an answer of `nvidia-smi`, compare with it if there is one (`auto`), or never ask (`off`).
        nvidia_smi: The program to ask.
        chosen: One of `allowed`, for a machine that cannot be asked.

    Raises:
        SettingsError: There is no answer where one is needed, or it is not an allowed product.
    """
    labels = [_label(name) for name in allowed]
    if chosen and labels and _label(chosen) not in labels:
        raise SettingsError(f"--gpu-product {chosen} is not in gpu_product ({', '.join(labels)}). Name one of them.")
    wanted = [_label(chosen)] if chosen else labels
    found = None if check == "off" else _installed(nvidia_smi)
    if found is None:
        if check == "require":
            raise SettingsError(f"{nvidia_smi} found no GPU here. Request nvidia.com/gpu for this container.")
        if len(wanted) != 1:
            raise SettingsError(
                f"gpu_product names {len(wanted)} products and {nvidia_smi} is not asked or found here, so that the "
                "engine cannot be chosen. Request nvidia.com/gpu for this container, or pass --gpu-product."
            )
        if check == "auto":
            tell(f"GPU product {wanted[0]}: taken from the settings, there is no {nvidia_smi} here to check it.")
        return wanted[0]
    for label in wanted:
        if _label(found) == _chip(label):
            return label
    if wanted:
        raise SettingsError(
            f"this machine's GPU is {_label(found)}, the settings allow {', '.join(wanted)}. An engine runs only on "
            "the product that it was built for: correct gpu_product or the pod's node affinity."
        )
    return _label(found)


def _label(name: str) -> str:
    """Returns a product's name as GPU feature discovery writes it in the node label."""
    return re.sub(r"\s+", "-", name.strip())


def _chip(label: str) -> str:
    """Returns the label without what feature discovery adds for shared and partitioned GPUs."""
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
        raise SettingsError(f"{nvidia_smi} did not answer: {error}. Look at the node's driver.") from error
    names = sorted({line.strip() for line in answer.stdout.splitlines() if line.strip()})
    if answer.returncode != 0 or not names:
        return None
    if len(names) > 1:
        raise SettingsError(f"this machine shows different GPUs ({', '.join(names)}). Request GPUs of one product.")
    return names[0]
