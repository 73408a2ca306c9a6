"""Writes the Triton model repository of mode engine from the image's templates, in an init container of serving pods.

Each pod writes its own to an emptyDir, so the repository may change without a new engine. Engine and tokenizer stay on
the volume, which may be mounted read-only.
"""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import options
from errors import SettingsError, run, say
from placeholders import NEUTRAL, required
from settings import Settings
from store import Store

TEMPLATES = "/app/all_models/inflight_batcher_llm"
MODELS = ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls")
FRONT = "tensorrt_llm_bls"
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


def fill(text: str, values: dict[str, str], where: str) -> tuple[str, set[str]]:
    """Returns a template with its placeholders replaced, and the names of the placeholders.

    Args:
        text: A `config.pbtxt` with `${name}`, in quotes or bare.
        values: Value by name.
        where: Name of the file, for messages.

    Raises:
        SettingsError: A placeholder has no value, or a value is not allowed in its place.
    """
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise SettingsError(f"{where} has the unknown placeholder ${{{name}}}. Set serving.parameters.{name}.")
        used.add(name)
        quoted = text[match.start() - 1 : match.start()] == '"'
        fits = not re.search(r'["\\\n]', values[name]) if quoted else re.fullmatch(r"[\w.+-]+", values[name])
        if not fits:
            raise SettingsError(
                f"{where}: {values[name]!r} is not allowed for ${{{name}}}. Correct it in the settings."
            )
        return values[name]

    return _PLACEHOLDER.sub(value, text), used


def first_response_buckets(buckets_ms: Sequence[float]) -> str:
    """Returns the `config.pbtxt` text that sets the buckets of the first-response histogram; empty for none."""
    if not buckets_ms:
        return ""
    family = "nv_inference_first_response_histogram_ms"
    options = f"histogram_options {{ buckets: [ {', '.join(f'{each:g}' for each in buckets_ms)} ] }}"
    return f'model_metrics {{ metric_control {{ metric_identifier {{ family: "{family}" }} {options} }} }}\n'


def write(settings: Settings, engine: Path, tokenizer: Path, templates: Path, to: Path) -> None:
    """Writes the five models to `to`, replacing those of an earlier start.

    Raises:
        SettingsError: The templates do not fit the settings.
    """
    max_batch_size = _max_batch_size(settings, engine)
    values_required = required(settings.serving, max_batch_size, engine, tokenizer)
    given = settings.serving.parameters
    values = {**NEUTRAL, **values_required, **given}
    filled, used = {}, set()
    for model in MODELS:
        template = templates / model / "config.pbtxt"
        if not template.is_file():
            raise SettingsError(
                f"{template} does not exist. Mode engine needs a -trtllm- image of release 26.07 or earlier."
            )
        filled[model], names = fill(template.read_text(), values, str(template))
        used |= names
    filled[FRONT] += first_response_buckets(settings.serving.first_response_buckets_ms)
    if unused := sorted(set(given) - used):
        raise SettingsError(
            f"serving.parameters.{unused[0]} is not used in any template under {templates}. Correct its name."
        )
    if unused := sorted(set(values_required) - used):
        raise SettingsError(
            f"no template under {templates} uses ${{{unused[0]}}}: the image does not have TensorRT-LLM 1.x."
        )
    to.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        shutil.rmtree(to / model, ignore_errors=True)
        shutil.copytree(templates / model, to / model)
        (to / model / "1").mkdir(exist_ok=True)  # an ensemble has no file, but needs the version
        (to / model / "config.pbtxt").write_text(filled[model])
    count = values["bls_instance_count"]
    say(f"wrote {', '.join(MODELS)} to {to}: maximum batch size {max_batch_size}, {count} BLS instances.")


def _max_batch_size(settings: Settings, engine: Path) -> int:
    """Returns the maximum batch size of the engine, which must be that of the settings."""
    try:
        built = json.loads((engine / "config.json").read_text())["build_config"]["max_batch_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return settings.build.max_batch_size
    if built != settings.build.max_batch_size and "--max_batch_size" not in settings.build.extra_args:
        raise SettingsError(
            f"{engine} has the maximum batch size {built}, and the settings {settings.build.max_batch_size}. Correct "
            "build.max_batch_size, or remove the engine's folder to build it again."
        )
    return int(built)


def write_for(settings: Settings, store: Store, templates: Path, to: Path) -> int:
    """Writes the repository of a finished engine.

    Raises:
        SettingsError: The engine is not ready, or the settings do not fit.
    """
    if store.ready() is None:
        raise SettingsError(f"{store.key} is not ready on this volume. Run wait.py first.")
    write(settings, store.engine, store.tokenizer, templates, to)
    return 0


def main() -> int:
    """Writes the repository."""
    parser = options.parser(__doc__)
    parser.add_argument("--templates", type=Path, default=Path(TEMPLATES))
    parser.add_argument("--to", type=Path, required=True, help="the model repository of this pod")
    args = parser.parse_args()

    def program() -> int:
        found = options.resolve(args)
        return write_for(found.settings, found.store, args.templates, args.to)

    return run(program, args.termination_log)


if __name__ == "__main__":
    sys.exit(main())
