"""Waits until the engine of the settings is built; the init container of a serving pod runs it.

It says who builds, since when and at which step. It ends with the reason when the build failed, when nobody builds for
`--nobody-s`, and after `--timeout-s`; the kubelet then shows the sentence on the pod that waits, and tries again.
"""

import sys
import time

import lock
import options
from build import failure_text
from errors import EngineError, NotReadyError, run, say
from store import Store


def wait(
    store: Store, job: str, timeout_s: float, nobody_s: float, stale_s: float, poll_s: float, report_s: float
) -> int:
    """Returns 0 once the engine is ready.

    Raises:
        EngineError: The last attempt failed and no other one runs.
        NotReadyError: Nobody builds, or it takes longer than `timeout_s`.
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
        if now_s - built_s > nobody_s:
            last = f"; the last builder, {holder.owner}, ended as {holder.released or 'lost'}" if holder else ""
            raise NotReadyError(
                f"nobody has built {store.key} for {nobody_s:.0f} s{last}. Look at the Job {job}: is it there, is its "
                "pod scheduled? Pods that wait hold their GPUs, the Job needs one more."
            )
        if now_s - started_s > timeout_s:
            raise NotReadyError(
                f"{store.key} is not ready after {timeout_s:.0f} s: look at the log of the Job {job}, or wait longer."
            )
        if now_s - said_s >= report_s:
            said_s = now_s
            if alive and holder:
                since = f" for {_ago(holder.since_s)}" if holder.since_s else ""
                say(f"waits for {store.key}: {holder.owner} builds it{since}, step {holder.step}")
            else:
                say(f"waits for {store.key}: nobody builds it yet (Job {job})")
        time.sleep(poll_s)
    say(f"engine {store.key} is ready.")
    return 0


def _ago(at_s: float) -> str:
    """Returns a span up to now as people say it; another node's clock may be ahead."""
    minutes, seconds = divmod(max(0, round(time.time() - at_s)), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def main() -> int:
    """Waits for the engine of the settings."""
    parser = options.parser(__doc__)
    parser.add_argument("--job", required=True, help="the build Job, named when there is something to look at")
    parser.add_argument("--timeout-s", type=float, default=4 * 3600.0)
    parser.add_argument("--nobody-s", type=float, default=600.0, help="at most this long without a builder")
    parser.add_argument("--stale-s", type=float, default=lock.STALE_S, help="as the build Job has it")
    parser.add_argument("--poll-s", type=float, default=2.0)
    parser.add_argument("--report-s", type=float, default=15.0)
    args = parser.parse_args()

    def program() -> int:
        store = options.resolve(args).store
        return wait(store, args.job, args.timeout_s, args.nobody_s, args.stale_s, args.poll_s, args.report_s)

    return run(program, args.termination_log)


if __name__ == "__main__":
    sys.exit(main())
