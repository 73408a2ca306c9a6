"""Writes the run folders and the reports of plans below a folder, all plans by default."""

import sys
from pathlib import Path

from loadgen_reports.write import write_reports

from loadgen.analyze.read import analyze_folder
from support.runs.synthetic import PLANS, write

if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(PLANS):
    sys.exit(f"usage: python -m support.runs.synthetic DIR [{' | '.join(PLANS)} ...]")
for name in sys.argv[2:] or PLANS:
    folder = write(Path(sys.argv[1]), PLANS[name])
    write_reports(analyze_folder(folder), folder.path)
    sys.stdout.write(f"{folder.path}\n")
