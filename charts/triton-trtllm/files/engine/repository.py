"""Writes the Triton model repository of engine mode: the image's templates, filled; an init container of serving pods.

Each pod writes its own (an emptyDir), so that what is served may change without another engine; engine and tokenizer
stay on the volume, which may be mounted read-only.
"""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import options
from errors import SettingsError, run, say
from placeholders import NEUTRAL, meant
from settings import Settings
from store import Store

TEMPLATES = "/app/all_models/inflight_batcher_llm"
MODELS = ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing", "tensorrt_llm_bls")
FRONT = "tensorrt_llm_bls"
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


def fill(text: str, values: dict[str, str], where: str) -> tuple[str, set[str]]:
    """Returns a template with its placeholders replaced, and the names that it uses.

    Args:
        text: A `config.pbtxt` with `${name}`, in quotes or bare.
        values: What each name stands for.
        where: The file, for the message.

    Raises:
        SettingsError: A placeholder has no value, or a value does not fit where it stands.
    """
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise SettingsError(
                f"{where} has the placeholder ${{{name}}}, which is not known here. Set serving.parameters.{name}."
            )
        used.add(name)
        quoted = text[match.start() - 1 : match.start()] == '"'
        fits = not re.search(r'["\\\n]', values[name]) if quoted else re.fullmatch(r"[\w.+-]+", values[name])
        if not fits:
            raise SettingsError(f"{where}: {values[name]!r} cannot stand for ${{{name}}}. Correct it in the settings.")
        return values[name]

    return _PLACEHOLDER.sub(value, text), used


def first_response_buckets(buckets_ms: Sequence[float]) -> str:
    """Returns what a model's `config.pbtxt` says of the buckets of its first responses; nothing for none."""
    if not buckets_ms:
        return ""
    family = "nv_inference_first_response_histogram_ms"
    options = f"histogram_options {{ buckets: [ {', '.join(f'{each:g}' for each in buckets_ms)} ] }}"
    return f'model_metrics {{ metric_control {{ metric_identifier {{ family: "{family}" }} {options} }} }}\n'


def write(settings: Settings, engine: Path, tokenizer: Path, templates: Path, to: Path) -> None:
    """Writes the five models into `to`, in place of what an earlier start left there.

    Raises:
        SettingsError: A template and the settings do not fit each other.
    """
    max_batch_size = _max_batch_size(settings, engine)
    wanted = meant(settings.serving, max_batch_size, engine, tokenizer)
    given = settings.serving.parameters
    values = {**NEUTRAL, **wanted, **given}
    filled, used = {}, set()
    for model in MODELS:
        template = templates / model / "config.pbtxt"
        if not template.is_file():
            raise SettingsError(f"there is no {template}. Engine mode needs a -trtllm- image up to 26.07.")
        filled[model], names = fill(template.read_text(), values, str(template))
        used |= names
    filled[FRONT] += first_response_buckets(settings.serving.first_response_buckets_ms)
    if unused := sorted(set(given) - used):
        raise SettingsError(f"serving.parameters.{unused[0]} is in no template under {templates}. Correct its name.")
    if unused := sorted(set(wanted) - used):
        raise SettingsError(f"no template under {templates} uses ${{{unused[0]}}}: it is not a TensorRT-LLM 1.x image.")
    to.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        shutil.rmtree(to / model, ignore_errors=True)
        shutil.copytree(templates / model, to / model)
        (to / model / "1").mkdir(exist_ok=True)  # an ensemble has no file, but needs the version
        (to / model / "config.pbtxt").write_text(filled[model])
    count = values["bls_instance_count"]
    say(f"wrote {', '.join(MODELS)} to {to}: the engine takes {max_batch_size} at once, {count} BLS instances feed it.")


def _max_batch_size(settings: Settings, engine: Path) -> int:
    """Returns what the engine itself says, which must be what the settings say."""
    try:
        built = json.loads((engine / "config.json").read_text())["build_config"]["max_batch_size"]
    except (OSError, ValueError, KeyError, TypeError):
        return settings.build.max_batch_size
    if built != settings.build.max_batch_size and "--max_batch_size" not in settings.build.extra_args:
        raise SettingsError(
            f"{engine} takes {built} requests at once, the settings say {settings.build.max_batch_size}. Correct "
            "build.max_batch_size, or remove the engine's folder so that it is built again."
        )
    return int(built)


def write_for(settings: Settings, store: Store, templates: Path, to: Path) -> int:
    """Writes the repository of an engine that is ready.

    Raises:
        SettingsError: It is not ready, or the settings do not fit.
    """
    if store.ready() is None:
        raise SettingsError(f"{store.key} is not ready on this volume. Run wait.py before this.")
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
