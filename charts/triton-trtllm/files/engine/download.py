"""Downloads a model's files from Hugging Face into a folder; a repeated call resumes an interrupted download.

The token comes from the environment variable HF_TOKEN and appears in no argument or output.
"""

import argparse
import sys
from pathlib import Path

# the same weights in formats that the converters used by this chart do not read
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
    from huggingface_hub import snapshot_download  # only in the image; not needed for --help

    snapshot_download(args.repository, revision=args.revision, local_dir=args.to, ignore_patterns=_NOT_NEEDED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
