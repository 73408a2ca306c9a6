"""Fills a model repository with the emulated engine where only the standard library is there: in a pod.

    python3 -m loadgen.local.engine.fill --plays=engine --profile=profile.json DEST

It is run where this package and, for the play of the LLM API, the chart's folders `llmapi` and `tensorrt_llm` lie.
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
    """Return the profile in the chart's words: name, blsInstances and the numbers of the engine.

    Raises:
        ValueError: it is no such profile; the sentence says what is wrong.
    """
    try:
        given: dict[str, Any] = json.loads(text)
        numbers = {**given["engine"], "step": StepModel(**given["engine"]["step"])}
        return EngineProfile(
            name=given["name"],
            title=given["name"],
            source="the values of the chart",
            engine=EngineConfig(**numbers),
            bls_instance_count=given["blsInstances"],
        )
    except KeyError as missing:
        raise ValueError(f"the emulated profile has no {missing.args[0]}") from None
    except TypeError as wrong:
        raise ValueError(f"the emulated profile is wrong: {wrong}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the repository; 2 when the profile cannot be read."""
    parser = argparse.ArgumentParser(prog="fill", description=__doc__)
    parser.add_argument("--plays", choices=["engine", "llmapi"], required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("dest", type=Path)
    given = parser.parse_args(argv)
    try:
        profile = read_profile(given.profile.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if given.plays == "llmapi":
        render_llmapi_repository(given.dest, profile, llmapi=Path("llmapi"), emulated=Path())
    else:
        render_repository(given.dest, profile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
