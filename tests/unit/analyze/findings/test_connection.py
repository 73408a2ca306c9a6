"""Findings about proxy and trust of the connection to the server."""

import pytest

from loadgen.analyze.findings.connection import connection_warnings
from loadgen.dataset.run_info import ConnectionInfo
from support.runs.tables import info, observed, request


@pytest.mark.parametrize(
    ("connection", "codes"),
    [
        (None, []),
        (ConnectionInfo(headers=("X-Key",), ca_file="/ca.pem"), []),
        (ConnectionInfo(proxy="http://proxy.example:3128"), ["endpoint.proxy"]),
        (ConnectionInfo(insecure=True), ["endpoint.insecure"]),
        (ConnectionInfo(insecure=True, proxy="http://p:1"), ["endpoint.proxy", "endpoint.insecure"]),
    ],
)
def test_a_report_says_what_lay_between(connection: ConnectionInfo | None, codes: list[str]) -> None:
    """A proxy by its URL, since latencies include it, and a certificate that was not verified."""
    found = connection_warnings(observed(info(connection=connection), requests=[request(0, 0.0)]))
    assert [each.code for each in found] == codes
    assert {each.severity for each in found} <= {"warning"}
    if connection and connection.proxy:
        assert connection.proxy in found[0].advice
