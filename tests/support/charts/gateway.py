"""Asks a Triton behind a gateway, inside a sandbox or another cluster, which of its paths and services are routed."""

import json
import subprocess
import sys
from typing import Any

from loadgen.sandbox.commands import Sandbox
from support.kube.given import Given
from support.kube.sandboxes import inside

_PROGRAM = """
import json, sys, urllib.error, urllib.request
import grpc, tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException
address, host = sys.argv[1:]
def status(path):
    request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host})
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
told = {path: status(path) for path in sys.stdin.read().split()}
client = triton.InferenceServerClient(address, channel_args=[("grpc.default_authority", host)])
told["gRPC live"] = client.is_server_live()
told["gRPC models"] = len(client.get_model_repository_index().models)
for name in ("get_log_settings", "get_trace_settings", "get_system_shared_memory_status"):
    try:
        getattr(client, name)()
        told[name] = "let in"
    except InferenceServerException as error:
        told[name] = error.status()
print(json.dumps(told))
"""


def address_of_traefik(sandbox: Given | Sandbox) -> str | None:
    """Return host and port of the Service of Traefik; None where there is none."""
    command = ("kubectl", "get", "services", "-A", "-lapp.kubernetes.io/name=traefik", "--output=json")
    specs = [each["spec"] for each in json.loads(inside(sandbox, *command))["items"]]
    return f"{specs[0]['clusterIP']}:{specs[0]['ports'][0]['port']}" if specs else None


def ask_by_gateway(sandbox: Given | Sandbox, address: str, host: str, paths: list[str]) -> dict[str, Any]:
    """Return the HTTP status of each path, and what the gRPC services answer."""
    done = subprocess.run(
        sandbox.command([sys.executable, "-c", _PROGRAM, address, host]),
        input=" ".join(paths),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
