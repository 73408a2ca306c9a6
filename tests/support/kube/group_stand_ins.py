"""Stand-ins for the programs of a group's pods: `mpirun`, TensorRT-LLM's LLM API launcher and `tritonserver`.

The scripts of leader, worker and agent, which start them, are those of the chart.
"""

import sys
from pathlib import Path
from typing import Any

from loadgen.sandbox.images import reference

REPOSITORY = "stand-in/group"
# ranks fill the hosts of the file in order; the agent starts those of other hosts
_MPIRUN = """
import os, shlex, signal, subprocess, sys
flags = sys.argv[1:]
agent = flags[flags.index("plm_rsh_agent") + 1].split()
rank, started = 0, []
for line in open(flags[flags.index("--hostfile") + 1]):
    host, slots = line.split()
    for _ in range(int(slots.removeprefix("slots="))):
        command = ["env", f"OMPI_COMM_WORLD_RANK={rank}", *flags[flags.index("-n") + 2:]]
        elsewhere = [] if not started else [*agent, host]
        started.append(subprocess.Popen([*elsewhere, shlex.join(command)] if elsewhere else command))
        rank += 1
signal.signal(signal.SIGTERM, lambda *_: [each.kill() for each in started])
sys.exit(max(each.wait() for each in started))
"""
_LAUNCHER = """
import os, socket, sys, time
rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
print(f"rank {rank} works on {socket.gethostname()}", flush=True)
if rank == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
time.sleep(600)
"""
# a pod only needs the readiness of a server
_SERVER = """
import http.server
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", 8000), Ready).serve_forever()
"""


def image(folder: Path) -> dict[str, Any]:
    """Write the programs into a folder and return their row of a sandbox's image table."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = {"mpirun": _MPIRUN, "trtllm-llmapi-launch": _LAUNCHER, "tritonserver": _SERVER}
    for name, text in programs.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
    (folder / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for name in (*programs, "python3"):
        (folder / name).chmod(0o755)
    return {"match": reference(REPOSITORY), "path": [str(folder)], "pull_s": 0.0}
