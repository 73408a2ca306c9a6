"""Writes a model repository with the emulated engine, in a pod that has only the standard library.

    python3 -m loadgen.local.engine.fill --plays=engine --profile=profile.json DEST

The working directory contains this package and, for `--plays=llmapi`, the chart's folders `llmapi` and `tensorrt_llm`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadgen.local.engine.config import EngineConfig, EngineProfile, StepModel
from loadgen.local.engine.llmapi_repository import render_llmapi_repository
from loadgen.local.engine.repository import render_repository


def read_profile(text: str) -> EngineProfile:
    """Parse a profile in the chart's format: name, blsInstances and the parameters of the engine.

    Raises:
        ValueError: The profile is invalid. The message is a sentence for the user.
    """
    try:
        profile: dict[str, Any] = json.loads(text)
        parameters = {**profile["engine"], "step": StepModel(**profile["engine"]["step"])}
        return EngineProfile(
            name=profile["name"],
            title=profile["name"],
            source="the values of the chart",
            engine=EngineConfig(**parameters),
            bls_instance_count=profile["blsInstances"],
        )
    except KeyError as missing:
        raise ValueError(f"the emulated profile has no {missing.args[0]}") from None
    except (TypeError, AttributeError, OverflowError) as wrong:
        raise ValueError(f"the emulated profile is wrong: {' '.join(str(wrong).split())[:300]}") from None
    except RecursionError:
        raise ValueError("the emulated profile is nested too deeply") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Write the repository; return 2 if the profile cannot be read."""
    parser = argparse.ArgumentParser(prog="fill", description=__doc__)
    parser.add_argument("--plays", choices=["engine", "llmapi"], required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("dest", type=Path)
    options = parser.parse_args(argv)
    try:
        profile = read_profile(options.profile.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if options.plays == "llmapi":
        render_llmapi_repository(options.dest, profile, llmapi=Path("llmapi"), emulated=Path())
    else:
        render_repository(options.dest, profile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
