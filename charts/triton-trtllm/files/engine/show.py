"""Shows the engine of the settings: its key, its folder, and whether it is ready, failed or being built; as JSON."""

import json
import sys
from dataclasses import asdict

import lock
import options
from errors import run, say
from store import Store


def state(store: Store) -> dict[str, object]:
    """Returns the state on the volume; `builder` may have died, see `lock.py`."""
    holder = lock.newest(store.lock)
    return {
        "key": store.key,
        "folder": str(store.folder),
        "ready": store.ready(),
        "failed": store.failed(),
        "builder": asdict(holder) if holder and not holder.released else None,
    }


def main() -> int:
    """Prints the state."""
    args = options.parser(__doc__).parse_args()

    def program() -> int:
        say(json.dumps(state(options.resolve(args).store), indent=1))
        return 0

    return run(program, args.termination_log)


if __name__ == "__main__":
    sys.exit(main())
