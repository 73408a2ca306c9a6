"""Waits until the engine of the settings is built, in an init container of serving pods.

It prints the builder and its current step. It fails if the build failed, if there is no builder for
`--builder-timeout-s`, and after `--timeout-s`. The kubelet then shows the message on the waiting pod, and retries.
"""

import sys
import time

import lock
import options
from build import failure_text
from errors import EngineError, NotReadyError, run, say
from store import Store


def wait(
    store: Store, job: str, timeout_s: float, builder_timeout_s: float, stale_s: float, poll_s: float, report_s: float
) -> int:
    """Returns 0 once the engine is ready.

    Raises:
        EngineError: The last attempt failed, and no other one runs.
        NotReadyError: There is no builder, or the build takes longer than `timeout_s`.
    """
    started_s = built_s = time.monotonic()
    said_s = float("-inf")
    watch = lock.Watch(store.lock, stale_s)
    while store.ready() is None:
        now_s = time.monotonic()
        holder, alive = watch.look()
        failed = store.failed()
        if failed and not (alive and holder and holder.generation > failed.get("generation", 0)):
            raise EngineError(
                f"the build of {store.key} failed {_ago(failed['at_s'])} ago: {failure_text(failed)}\n"
                f"Log: {store.log(failed.get('generation', 0))}; Job: {job}. A new attempt of the Job clears this."
            )
        built_s = now_s if alive else built_s
        if now_s - built_s > builder_timeout_s:
            last = f"; the last builder, {holder.owner}, ended as {holder.released or 'lost'}" if holder else ""
            raise NotReadyError(
                f"there has been no builder of {store.key} for {builder_timeout_s:.0f} s{last}. "
                f"Check that the Job {job} exists and its pod is scheduled. "
                "It needs GPUs in addition to those of the waiting pods."
            )
        if now_s - started_s > timeout_s:
            raise NotReadyError(
                f"{store.key} is not ready after {timeout_s:.0f} s: check the log of the Job {job}, or raise "
                "engine.waitSeconds."
            )
        if now_s - said_s >= report_s:
            said_s = now_s
            if alive and holder:
                since = f" for {_ago(holder.since_s)}" if holder.since_s else ""
                say(f"waiting for {store.key}: {holder.owner} has been building it{since}, step {holder.step}")
            else:
                say(f"waiting for {store.key}: there is no builder yet (Job {job})")
        time.sleep(poll_s)
    say(f"engine {store.key} is ready.")
    return 0


def _ago(at_s: float) -> str:
    """Returns the time since then as text; the clock of another node may be ahead."""
    minutes, seconds = divmod(max(0, round(time.time() - at_s)), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def main() -> int:
    """Waits for the engine of the settings."""
    parser = options.parser(__doc__)
    parser.add_argument("--job", required=True, help="name of the build Job, for messages")
    parser.add_argument("--timeout-s", type=float, default=4 * 3600.0)
    parser.add_argument("--builder-timeout-s", type=float, default=600.0, help="maximum time without a builder")
    parser.add_argument("--stale-s", type=float, default=lock.STALE_S, help="as in the build Job")
    parser.add_argument("--poll-s", type=float, default=2.0)
    parser.add_argument("--report-s", type=float, default=15.0)
    args = parser.parse_args()

    def program() -> int:
        store = options.resolve(args).store
        return wait(store, args.job, args.timeout_s, args.builder_timeout_s, args.stale_s, args.poll_s, args.report_s)

    return run(program, args.termination_log)


if __name__ == "__main__":
    sys.exit(main())
