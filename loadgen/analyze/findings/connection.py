"""Findings about the connection to the server under test: its proxy, and whether its certificate was verified."""

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Finding


def connection_warnings(run: Observed) -> list[Finding]:
    """Warnings about what lay between the load generator and the server."""
    info = run.info.connection
    if info is None:
        return []
    findings = []
    if info.proxy:
        advice = (
            f"All requests went through {info.proxy}, so the latencies are those of the server and of this proxy: to "
            "measure the server alone, add its host to NO_PROXY."
        )
        findings.append(codes.ENDPOINT_PROXY.finding(measured=None, limit=None, advice=advice))
    if info.insecure:
        advice = (
            "The run had --insecure, so nothing shows that the target itself answered: name its CA certificates with "
            "--ca-file instead."
        )
        findings.append(codes.ENDPOINT_INSECURE.finding(measured=None, limit=None, advice=advice))
    return findings
