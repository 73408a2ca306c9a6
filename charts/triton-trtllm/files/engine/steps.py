"""Command lines of the programs that build an engine.

A command line is a list of arguments in which `{name}` stands for a value of `values`. An argument that consists of the
name of a list is replaced by its items. `commands.*` of the settings replaces a command line and may use the same
names.
"""

import json
import re
import sys
from pathlib import Path

from errors import EngineError, SettingsError
from settings import Settings

EXAMPLES = Path("/app/examples")
DOWNLOAD = (
    "{python}", "{download_script}", "--repository", "{repository}", "--revision", "{revision}", "--to", "{model_dir}",
)  # fmt: skip
CONVERT = (
    "{python}", "{convert_script}", "--model_dir", "{model_dir}", "--output_dir", "{checkpoint_dir}",
    "--dtype", "{data_type}", "--tp_size", "{tensor_parallelism}", "--pp_size", "{pipeline_parallelism}",
    "{quantization_args}", "{convert_args}",
)  # fmt: skip
BUILD = ("trtllm-build", "--checkpoint_dir", "{checkpoint_dir}", "--output_dir", "{engine_dir}", "{build_args}")

# folder under examples/models by `model_type`, for families whose converter supports the flags of CONVERT
FAMILIES = {
    "llama": "core/llama", "mistral": "core/llama", "mixtral": "core/llama",
    "qwen": "core/qwen", "qwen2": "core/qwen", "qwen2_moe": "core/qwen", "qwen3": "core/qwen", "qwen3_moe": "core/qwen",
    "gpt2": "core/gpt", "gpt_bigcode": "core/gpt", "starcoder2": "core/gpt", "phi": "core/phi", "phi3": "core/phi",
    "opt": "contrib/opt", "falcon": "contrib/falcon", "gpt_neox": "contrib/gptneox",
}  # fmt: skip


def values(settings: Settings, model: Path, building: Path) -> dict[str, str | list[str]]:
    """Returns the values of names in command lines, except `convert_script`, which depends on the downloaded model."""
    quantized = settings.quantization != "none"
    return {
        "python": sys.executable,
        "download_script": str(Path(__file__).with_name("download.py")),
        "repository": settings.model.repository or "",
        "revision": settings.model.revision,
        "model_dir": str(model),
        "checkpoint_dir": str(building / "checkpoint"),
        "engine_dir": str(building / "engine"),
        "data_type": settings.data_type,
        "quantization": settings.quantization,
        "tensor_parallelism": str(settings.tensor_parallelism),
        "pipeline_parallelism": str(settings.pipeline_parallelism),
        "world_size": str(settings.world_size),
        "quantization_args": ["--qformat", settings.quantization] if quantized else [],
        "convert_args": list(settings.convert.extra_args),
        "build_args": build_args(settings),
    }


def build_args(settings: Settings) -> list[str]:
    """Returns the options of `trtllm-build`; `extra_args` come last and take precedence."""
    build = settings.build
    args = ["--max_batch_size", str(build.max_batch_size)]
    for name in ("max_input_len", "max_seq_len", "max_num_tokens"):
        if (value := getattr(build, name)) is not None:
            args += [f"--{name}", str(value)]
    return [*args, "--gemm_plugin", "auto", "--use_paged_context_fmha", "enable", *build.extra_args]


def fill(template: tuple[str, ...], named: dict[str, str | list[str]]) -> list[str]:
    """Returns the arguments with every `{name}` replaced.

    Raises:
        SettingsError: A name is unknown, or a list stands inside an argument.
    """
    filled: list[str] = []
    for argument in template:
        names = re.findall(r"\{(\w+)\}", argument)
        if unknown := [name for name in names if name not in named]:
            raise SettingsError(f"a command says {{{unknown[0]}}}, which is not one of {', '.join(sorted(named))}.")
        if len(names) == 1 and argument == f"{{{names[0]}}}" and isinstance(whole := named[names[0]], list):
            filled += whole
            continue
        for name in names:
            value = named[name]
            if isinstance(value, list):
                raise SettingsError(f"{argument!r} contains {{{name}}}, which is a list: make it a separate argument.")
            argument = argument.replace(f"{{{name}}}", value)
        filled.append(argument)
    return filled


def convert_script(settings: Settings, model: Path, examples: Path = EXAMPLES) -> str:
    """Returns the script that converts the checkpoint: from the settings, the quantizer, or by the model's family.

    Raises:
        EngineError: The family is unknown or has no known converter.
    """
    if settings.convert.script:
        return settings.convert.script
    if settings.quantization != "none":
        return str(examples / "quantization" / "quantize.py")
    try:
        family = str(json.loads((model / "config.json").read_text()).get("model_type"))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{model}/config.json cannot be read ({error}). The folder must be a Hugging Face model."
        ) from error
    if family not in FAMILIES:
        raise EngineError(
            f"no converter is known for model_type {family!r} (known: {', '.join(sorted(FAMILIES))}). Set "
            f"convert.script to one under {examples}/models, and commands.convert if its flags differ."
        )
    return str(examples / "models" / FAMILIES[family] / "convert_checkpoint.py")
