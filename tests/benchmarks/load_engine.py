"""Measures the load engine beside its peers, against the null server, one core each.

python tests/benchmarks/load_engine.py [--rows unary,rate,streams,schedule] [--product NAME=CHECKOUT …]

- `unary`: requests/s in a closed loop with 16 in flight: the product's client and tritonclient in Locust users, with
  one `request` event each; perf_analyzer, h2load and wrk.
- `rate`: the highest of `--rates` at which 3 of 3 whole runs are valid and pass.
- `streams`: whole runs with `--streams` streams of 40 tokens/s: error of the gaps between tokens, CPU time per token,
  memory of the load process; tritonclient.grpc and perf_analyzer do the same in a closed loop.
- `schedule`: whole runs at `--schedule-rates`: how late requests are sent, as recorded and as the server reads them,
  and how uneven the starts of Locust's `constant_throughput` are.

Each row is measured plain and with headers of a gateway, which differ in every answer. Clients take turns, each
beginning in turn; tables have the median, the smallest and the largest of `--repeats` runs. A `--product` is a checkout
with its `.venv`, and `NAME=CHECKOUT@reference` one whose runs have `--client reference`: give two to compare commits or
clients in one call. On a machine that is not quiet only ratios mean anything.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/benchmarks"), str(ROOT / "tests"), str(ROOT)]

from engine import peers  # noqa: E402 - the path has to know it first
from engine.measure import Column, Cpus, Values, in_turn, say, write_machine, write_table  # noqa: E402
from engine.product import STREAMS, UNARY, Product, Run  # noqa: E402

from support.servers.null_server import NullServer, null_server  # noqa: E402

ITL_MS, TOKENS, FIRST_MS = 25.0, 100, 25.0
VALID_RUNS = 3


def main() -> None:
    """Measure the rows that were asked for."""
    options = parsed()
    write_machine(options.cpus, options.perf_analyzer)
    for product in options.products:
        say(f"{product.name}: {product.root}")
    rows = {"unary": unary, "rate": rate, "streams": streams, "schedule": schedule}
    for name in options.rows:
        for gateway in options.modes:
            rows[name](options, gateway)


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="What the load engine can do, beside its peers")
    parser.add_argument("--rows", default="unary,rate,streams,schedule", type=lambda text: text.split(","))
    parser.add_argument("--product", action="append", dest="products", type=Product.parse, metavar="NAME=CHECKOUT")
    parser.add_argument("--protocols", default="grpc,http", type=lambda text: text.split(","))
    parser.add_argument(
        "--modes", default="plain,gateway", type=lambda text: [mode == "gateway" for mode in text.split(",")]
    )
    parser.add_argument("--repeats", default=5, type=int)
    parser.add_argument("--seconds", default=8.0, type=float, help="length of a measurement, without its start")
    parser.add_argument("--rates", default="1000,2000,3000,5000,7000,10000,14000,20000", type=numbers)
    parser.add_argument("--streams", default="50,200,500,1000,2000", type=numbers)
    parser.add_argument("--schedule-rates", default="200,1000,3000,10000", type=numbers)
    parser.add_argument("--server-cpu", default=0, type=int)
    parser.add_argument("--client-cpu", default=1, type=int)
    parser.add_argument("--perf-analyzer", metavar="PATH", help="where it is, if not on the PATH")
    options = parser.parse_args()
    unknown = set(options.rows) - {"unary", "rate", "streams", "schedule"}
    if unknown:
        parser.error(f"there is no row {sorted(unknown)[0]!r}; choose from unary, rate, streams, schedule")
    options.products = options.products or [Product(name="product", root=ROOT)]
    options.cpus = Cpus(server=options.server_cpu, client=options.client_cpu)
    return options


def gateways(text: str) -> list[bool]:
    """Read modes, separated by commas, as whether there is a gateway.

    Raises:
        argparse.ArgumentTypeError: there is no such mode.
    """
    if unknown := set(text.split(",")) - {"plain", "gateway"}:
        raise argparse.ArgumentTypeError(f"there is no mode {sorted(unknown)[0]!r}; choose from plain, gateway")
    return [mode == "gateway" for mode in text.split(",")]


def numbers(text: str) -> list[int]:
    """Read whole numbers, separated by commas."""
    return [int(part) for part in text.split(",")]


@contextmanager
def serving(options: argparse.Namespace, gateway: bool, **settings: object) -> Iterator[NullServer]:
    """Run the null server on its core."""
    mode = {"gateway": True} if gateway else {}
    with null_server(prefix=options.cpus.server_prefix, **mode, **settings) as server:
        yield server


def mode_name(gateway: bool) -> str:
    """Return what the titles call the headers."""
    return "gateway headers" if gateway else "plain"


def unary(options: argparse.Namespace, gateway: bool) -> None:
    """Measure the closed loop."""
    for protocol in options.protocols:
        with serving(options, gateway) as server:
            columns = peers.unary(
                protocol, server, options.cpus, options.seconds, options.products, options.perf_analyzer
            )
            title = f"Closed loop, {peers.IN_FLIGHT} in flight, {protocol}, {mode_name(gateway)}"
            write_table(title, in_turn(columns, options.repeats), ratio_of="requests/s")


def rate(options: argparse.Namespace, gateway: bool) -> None:
    """Find the highest rate at which all runs of each product are valid and pass."""
    for protocol in options.protocols:
        valid = {product.name: True for product in options.products}
        highest = dict.fromkeys(valid, 0)
        with serving(options, gateway) as server:
            for per_s in options.rates:
                columns = {
                    product.name: whole_run(
                        product, options, server, protocol, per_s, UNARY, tokens=1, measured=run_lag
                    )
                    for product in options.products
                    if valid[product.name]
                }
                if not columns:
                    break
                results = in_turn(columns, VALID_RUNS)
                write_table(f"Whole runs at {per_s:,}/s, {protocol}, {mode_name(gateway)}", results)
                for name, measured in results.items():
                    passed = not isinstance(measured, str) and all(values["valid, passed"] for values in measured)
                    valid[name] = passed
                    highest[name] = per_s if passed else highest[name]
        for name, per_s in highest.items():
            say(f"\nHighest valid rate, {protocol}, {mode_name(gateway)}, {name}: **{per_s:,}/s**")


def streams(options: argparse.Namespace, gateway: bool) -> None:
    """Measure streams of tokens."""
    for count in options.streams:
        with serving(options, gateway, first_ms=FIRST_MS, itl_ms=ITL_MS) as server:
            per_s = count / ((FIRST_MS + (TOKENS - 1) * ITL_MS) / 1000)  # as many start as end
            columns: dict[str, Column] = {}
            for product in options.products:
                for protocol in options.protocols:
                    columns[f"{product.name}, {protocol}"] = whole_run(
                        product, options, server, protocol, per_s, STREAMS, TOKENS, run_gaps, even=True
                    )
            load = (server, options.cpus, count, TOKENS, ITL_MS, options.seconds)
            columns["tritonclient.grpc"] = lambda load=load: peers.tritonclient_streams(*load)
            columns["perf_analyzer"] = lambda load=load: peers.perf_analyzer_streams(options.perf_analyzer, *load)
            results = in_turn(columns, options.repeats)
            write_table(f"{count:,} streams of {1000 / ITL_MS:g} tokens/s, {mode_name(gateway)}", results)
            say(f"\nThe errors include the lateness of the server in all these runs: {lateness(server)}.")


def schedule(options: argparse.Namespace, gateway: bool) -> None:
    """Measure how late requests are sent."""
    for protocol in options.protocols:
        for per_s in options.schedule_rates:
            with serving(options, gateway) as server:
                columns: dict[str, Column] = {
                    product.name: whole_run(product, options, server, protocol, per_s, UNARY, 1, run_lag)
                    for product in options.products
                }
                columns["Locust constant_throughput"] = lambda per_s=per_s: peers.constant_throughput(
                    options.cpus, per_s, options.seconds
                )
                results = in_turn(columns, options.repeats)
                write_table(f"Schedule error at {per_s:,}/s, {protocol}, {mode_name(gateway)}", results)


def whole_run(
    product: Product,
    options: argparse.Namespace,
    server: NullServer,
    protocol: str,
    per_s: float,
    flags: tuple[str, ...],
    tokens: int,
    measured: Callable[..., Values],
    even: bool = False,
) -> Column:
    """Return a column that runs a product and measures the run."""

    def column() -> Values:
        if measured is run_lag:
            server.reset()  # the arrivals of this run alone
        target = f"{protocol}://127.0.0.1:{server.http if protocol == 'http' else server.grpc}"
        run = product.run(target, options.cpus, *flags, rate=per_s, seconds=options.seconds, tokens=tokens, even=even)
        return measured(run, server)

    return column


def run_lag(run: Run, server: NullServer) -> Values:
    """Return how late a run was, and whether it is valid."""
    arrivals = [arrival.first_byte_ns for arrival in server.arrivals()]
    whole = len(arrivals) == run.requests.num_rows  # none missing, and none that the server has dropped from its record
    return {
        **run.lag(),
        **(run.on_wire(arrivals) if whole else {}),
        "CPU µs/request": run.cpu_s / run.requests.num_rows * 1e6,
        "ok": run.ok_ratio,
        "valid, passed": float(run.verdict == "pass"),
    }


def run_gaps(run: Run, server: NullServer) -> Values:
    """Return the errors of the gaps of a run, and what a token cost."""
    return run.gaps(ITL_MS)


def lateness(server: NullServer) -> str:
    """Return how late the server sent tokens since its last reset."""
    counted = server.counters()
    return ", ".join(f"{name} {counted[f'late_{name}_ns'] / 1e6:.3f} ms" for name in ("p50", "p99", "max"))


if __name__ == "__main__":
    main()
