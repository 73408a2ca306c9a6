"""Builds the engine of the settings once: downloads, converts, builds, publishes. The chart's build Job runs it.

If two builders start, on any nodes, one builds and the other waits for the result. A builder that starts after a
successful build ends at once, and one that starts after a failure tries again. SIGTERM ends the running program and
releases the lock.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import child
import lock
import options
import steps
from errors import EngineError, SettingsError, Stopped, run, say
from hints import hint

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".npz")
_CHECKPOINT_AND_ENGINE = 2  # each is about as large as the weights; quantized ones are smaller


class StepError(EngineError):
    """A program failed; `details` are written to FAILED."""

    def __init__(self, reason: str, **details: object) -> None:
        super().__init__(reason)
        self.details = details


class LockLostError(EngineError):
    """Another builder has taken the lock."""


class Build:
    """One attempt that holds the lock."""

    def __init__(self, found: options.Resolved, held: lock.Lock, token: str) -> None:
        self._settings, self._store, self._held, self._token = found.settings, found.store, held, token
        self._ingredients = found.ingredients
        self._folder = self._store.building(held.generation)
        self._running: child.Child | None = None
        self._seconds: dict[str, float] = {}
        held.on_lost = self._end

    def run(self) -> None:
        """Runs every step and publishes the engine."""
        self._store.clear_failed()
        self._store.sweep(self._held.generation)
        self._folder.mkdir(parents=True)
        settings, commands = self._settings, self._settings.commands
        with self._step("download"):
            model = self._model()
        named = steps.values(settings, model, self._folder)
        with self._step("convert"):
            self._need_space(_CHECKPOINT_AND_ENGINE * _size_bytes(model), "the checkpoint and the engine")
            template = commands.convert or steps.CONVERT
            if "{convert_script}" in template:
                named["convert_script"] = steps.convert_script(settings, model)
            self._program(steps.fill(template, named))
        with self._step("build"):
            self._program(steps.fill(commands.build or steps.BUILD, named))
            self._check_ranks()
        with self._step("publish"):
            _copy_tokenizer(model, self._folder / "tokenizer")
            if not self._held.held():
                raise LockLostError(_LOST)
            marker = {"ingredients": self._ingredients, "generation": self._held.generation, "seconds": self._seconds}
            self._store.publish(self._held.generation, marker, settings.keep_model)

    def _model(self) -> Path:
        settings, store = self._settings, self._store
        if settings.model.path is not None:
            folder = store.root / settings.model.path  # an absolute path stays as it is
            if not folder.is_dir():
                raise StepError(
                    f"model.path {folder} does not exist or is not a folder. Mount it, or correct the path."
                )
            return folder
        complete = store.model / ".complete"
        if not complete.exists():
            self._need_space(settings.min_free_bytes, "the model, its checkpoint and the engine (min_free_bytes)")
            store.model.mkdir(exist_ok=True)
            template = settings.commands.download or steps.DOWNLOAD
            self._program(steps.fill(template, steps.values(settings, store.model, self._folder)))
            complete.touch()
        return store.model

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._held.step(name)
        say(f"step {name}: started")
        started_s = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - started_s, 1)
        say(f"step {name}: done after {self._seconds[name]:.0f} s")

    def _need_space(self, needed_bytes: int, what: str) -> None:
        free_bytes = shutil.disk_usage(self._store.folder).free
        if free_bytes < needed_bytes:
            raise StepError(
                f"the volume has {free_bytes / 2**30:.1f} GiB free, {what} need about {needed_bytes / 2**30:.1f} GiB. "
                "Enlarge the volume, or remove folders of unused keys under engines/."
            )

    def _check_ranks(self) -> None:
        missing = [f"rank{rank}.engine" for rank in range(self._settings.world_size)]
        missing = [name for name in missing if not (self._folder / "engine" / name).exists()]
        if missing:
            raise StepError(
                f"the build program succeeded but did not write {', '.join(missing)}. Check its log: "
                "tensor_parallelism and pipeline_parallelism must equal those of the checkpoint."
            )

    def _program(self, command: list[str]) -> None:
        say("running: " + " ".join(command).replace(self._token or "\0", "***"))
        environment = {**os.environ, "HF_HOME": str(self._folder / "huggingface"), "PYTHONUNBUFFERED": "1"}
        if self._token:
            environment["HF_TOKEN"] = self._token
        with child.open_log(self._store.log(self._held.generation)) as log:
            try:
                self._running = child.Child(command, log, [self._token], environment)
            except OSError as error:
                raise StepError(
                    f"{command[0]} cannot be started: {error.strerror}. Check image and commands."
                ) from error
            try:
                exit_code = self._running.finish()
            finally:
                self._running.end()
        if not self._held.held():
            raise LockLostError(_LOST)
        if exit_code != 0:
            last_lines = list(self._running.last_lines)
            advice = hint(exit_code, last_lines)
            reason = f"step {self._held.step_name} ended with exit code {exit_code}." + (f" {advice}" if advice else "")
            raise StepError(reason, exit_code=exit_code, hint=advice, last_lines=last_lines)

    def _end(self) -> None:
        if self._running is not None:
            self._running.end()


_LOST = "another builder took the lock, since this one did not renew it in time. Wait for the other's result."


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _copy_tokenizer(model: Path, to: Path) -> None:
    def left_out(_folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(".") or name.endswith(_WEIGHTS)]

    shutil.copytree(model, to, ignore=left_out)


def failure_text(failed: dict[str, Any]) -> str:
    """Returns the reason and the last lines of a failed attempt as text."""
    return "\n".join([failed["reason"], *(f"  | {line}" for line in failed.get("last_lines", [])[-12:])])


def build(found: options.Resolved, owner: str, token: str, heartbeat_s: float, stale_s: float, poll_s: float) -> int:
    """Builds the engine, or waits for another builder.

    Raises:
        EngineError: A step failed, in this or in the other builder.
    """
    store, waited_for = found.store, None
    store.folder.mkdir(parents=True, exist_ok=True)
    watch = lock.Watch(store.lock, stale_s)
    while store.ready() is None:
        held = lock.take(store.lock, watch, owner, heartbeat_s)
        failed = store.failed()
        if failed and waited_for is not None and failed.get("generation") == waited_for:
            if held is not None:
                held.release("stopped")
            raise EngineError(f"the build by the other builder failed: {failure_text(failed)}")
        if held is not None:
            return _attempt(found, held, token)
        holder, alive = watch.look()
        if holder and alive and holder.generation != waited_for:
            waited_for = holder.generation
            say(f"{holder.owner} is already building {store.key} (step {holder.step}): waiting for its result.")
        time.sleep(poll_s)
    say(f"engine {store.key} is ready: nothing to build.")
    return 0


def _attempt(found: options.Resolved, held: lock.Lock, token: str) -> int:
    store, how = found.store, "failed"
    try:
        if store.ready() is None:
            say(f"building {store.key} (attempt {held.generation})")
            Build(found, held, token).run()
        how = "done"
    except (Stopped, LockLostError):
        how = "stopped"
        raise
    except (EngineError, OSError) as error:
        details = error.details if isinstance(error, StepError) else {"hint": hint(1, [str(error)])}
        reason = f"{error} {details.get('hint') or ''}".strip() if isinstance(error, OSError) else str(error)
        failed = {"step": held.step_name, "reason": reason, **details}
        with contextlib.suppress(
            OSError
        ):  # the volume may be full; the reason is also on stderr and in the termination log
            store.mark_failed(generation=held.generation, **failed)
        raise EngineError(
            f"the build of {store.key} failed in step {held.step_name}: {failure_text(failed)}"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the clean-up is short and must not be interrupted
        shutil.rmtree(store.building(held.generation), ignore_errors=True)
        held.release(how)
    say(f"engine {store.key} is ready.")
    return 0


def read_token(file: str | None) -> str:
    """Returns the Hugging Face token of a file or of HF_TOKEN; empty for a public model."""
    try:
        return Path(file).read_text().strip() if file else os.environ.get("HF_TOKEN", "").strip()
    except OSError as error:
        raise SettingsError(f"cannot read --token-file {file}: {error.strerror}. Mount the secret.") from error


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped("received SIGTERM: the lock is released, and the next build Job starts over.")


def main() -> int:
    """Builds the engine of the settings."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--token-file", help="file with the Hugging Face token; default: the environment variable HF_TOKEN"
    )
    parser.add_argument("--owner", default=options.owner(), help="name of this builder for others; default: POD_NAME")
    parser.add_argument("--heartbeat-s", type=float, default=lock.HEARTBEAT_S)
    parser.add_argument("--stale-s", type=float, default=lock.STALE_S)
    parser.add_argument("--poll-s", type=float, default=5.0)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)

    def program() -> int:
        token = read_token(args.token_file)
        return build(options.resolve(args), args.owner, token, args.heartbeat_s, args.stale_s, args.poll_s)

    return run(program, args.termination_log)


if __name__ == "__main__":
    sys.exit(main())
