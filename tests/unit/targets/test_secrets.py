"""A run on a cluster whose credentials are wrong, and whose API server repeats them."""

import json
import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from loadgen.base.errors import LoadgenError
from loadgen.run.run import Run
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario
from support.kube.kubeconfigs import write_kubeconfig
from support.runs.secrets import places_of
from support.servers.http import ResponseHandler, serving

TOKEN, PASSWORD = "t0ken-of-the-account", "p4ssword/of:the-proxy"


class Repeating(ResponseHandler):
    """Refuses every request, and repeats the credentials that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        message = f"not allowed: {self.headers.get('Authorization')} at {self.path}, {TOKEN}, {PASSWORD}"
        self.respond(403, json.dumps({"kind": "Status", "message": message, "code": 403}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()


def handler() -> type[BaseHTTPRequestHandler]:
    return Repeating


@pytest.mark.parametrize("way", ["token", "password of the user", "password in the URL"])
def test_a_run_on_a_cluster_writes_no_secret(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the run folder, nor a sentence, nor the error has the token or the password of the kubeconfig."""
    monkeypatch.chdir(tmp_path)
    kubeconfig = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    said: list[str] = []
    with serving(handler()) as url:
        users = {"token": {"token": TOKEN}, "password of the user": {"username": "u", "password": PASSWORD}}
        server = url.replace("://", "://u:p4ssword%2Fof%3Athe-proxy@") if way == "password in the URL" else url
        write_kubeconfig(kubeconfig, user=users.get(way, {}), a=server)
        run = Run(Scenario(name="x", target="kube", load=Constant(per_s=1, duration_s=60)), say=said.append)
        with pytest.raises(LoadgenError) as caught:
            run.start()
    run.record_error(str(caught.value))
    run.stop()
    (run.folder.path / "console").write_text(os.linesep.join([*said, str(caught.value)]))
    secret = TOKEN if way == "token" else PASSWORD
    assert places_of(secret, run.folder.path) == []
    assert places_of("not allowed", run.folder.path)  # the answer of the server is there, without it
