"""Downloads a model's files from Hugging Face into a folder; a repeated call goes on where it was cut off.

The token comes from the environment (HF_TOKEN) and appears in no argument and no output.
"""

import argparse
import sys
from pathlib import Path

# the same weights in formats that no TensorRT-LLM converter of this chart reads
_NOT_NEEDED = [
    "original/*",
    "consolidated*",
    "*.pth",
    "*.gguf",
    "*.onnx",
    "*.msgpack",
    "*.h5",
    "*.ot",
    "onnx/*",
    "metal/*",
]


def main() -> int:
    """Downloads one snapshot."""
    parser = argparse.ArgumentParser(description="Download a model from Hugging Face.", allow_abbrev=False)
    parser.add_argument("--repository", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    from huggingface_hub import snapshot_download  # the image has it; --help needs it not

    snapshot_download(args.repository, revision=args.revision, local_dir=args.to, ignore_patterns=_NOT_NEEDED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
