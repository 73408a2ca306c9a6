"""The commands that the documentation prints, and where each of them is run.

A command stands in a block of shell code, indented or fenced, or in a code span of its own. Every command is in one of
the tables below; `tests/unit/test_printed_commands.py` fails for one that is in none, or in a table but not printed.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCUMENTS = tuple(
    sorted(
        str(file.relative_to(ROOT))
        for pattern in ("*.md", "docs/*.md", "charts/*/README.md", "loadgen/sandbox/README.md", "tests/*/README.md")
        for file in ROOT.glob(pattern)
        if file.name != "CHANGELOG.md"
    )
)
_PROGRAM = r"(?:[A-Z_]+=\S+ )*(?:kubectl|helm|locust|loadgen|uv|docker|make|python3|pytest|pip) [^…]*\S"

AS_PRINTED = {
    "python3 -m pip install --quiet uv && python3 -m uv run locust -f scenarios/waves.py --headless": ".ci/run",
    "python3 -m pip install --quiet uv && python3 -m uv run pytest": ".ci/run",
    "uv run pytest": ".ci/run",
    "uv run loadgen sandbox build": ".ci/run",
    "uv run pytest tests/damage": ".ci/run",
    "uv run pytest tests/browser -n 0": ".ci/run",
    "uv run pytest tests/wheel -n 0": ".ci/run",
    "helm install llm charts/triton-trtllm -n serving --create-namespace "
    "-f charts/triton-trtllm/examples/emulated-bare.yaml": "tests/kube/run/test_printed_commands.py",
    "helm test llm -n serving": "tests/kube/run/test_printed_commands.py",
    "kubectl -n load-tests create job now --from=cronjob/nightly-loadgen": "tests/kube/run/test_printed_commands.py",
    "kubectl -n load-tests logs -f job/load-loadgen-1": "tests/kube/run/test_printed_commands.py",
    "kubectl -n load-tests wait --for=jsonpath='{.status.conditions[?(@.status==\"True\")].type}' --timeout=30m "
    "job/load-loadgen-1": "tests/kube/run/test_printed_commands.py",
    "kubectl -n load-tests get job load-loadgen-1 "
    "-o jsonpath='{.status.conditions[-1:].type}: {.status.conditions[-1:].message}'": (
        "tests/kube/run/test_printed_commands.py"
    ),
    "kubectl -n load-tests wait --for=condition=Complete --timeout=10s job/load-loadgen-1": (
        "tests/kube/run/test_printed_commands.py"
    ),
}
"""Commands that run exactly as printed, and in which file."""

WITH_SUBSTITUTIONS = {
    "uv run locust -f scenarios/waves.py --headless --target grpc://triton.example:8001": (
        "another endpoint and a shorter load",
        "tests/contract/test_locust.py",
    ),
    "uv run locust -f scenarios/waves.py --headless --target http://triton.example:8000 --no-stream": (
        "another endpoint and a shorter load",
        "tests/contract/test_locust.py",
    ),
    "uv run locust -f scenarios/waves.py --headless --target http://vllm.example:8000/v1 --protocol openai": (
        "another endpoint and a shorter load",
        "tests/contract/test_openai.py",
    ),
    "uv run loadgen deploy --namespace llm --values charts/triton-trtllm/examples/llama-3.1-8b-h100.yaml": (
        "values of an emulated engine",
        "tests/kube/run/test_target_kube.py",
    ),
    "uv run locust -f scenarios/waves.py --headless --target kube --kube-namespace llm": (
        "a shorter load",
        "tests/kube/run/test_target_kube.py",
    ),
    "uv run loadgen lint charts/triton-trtllm/examples/llama-3.1-8b-h100.yaml": (
        "in the process of the test",
        "tests/chart/test_lint.py",
    ),
    "uv run loadgen lint --namespace llm": (
        "another namespace, of a simulated cluster",
        "tests/unit/lint/test_namespace.py",
    ),
    "uv run loadgen destroy --namespace llm": ("another namespace", "tests/kube/run/test_target_kube.py"),
    "uv run locust -f scenarios/waves.py --headless --target sandbox": (
        "a shorter load",
        "tests/kube/run/test_main_job.py",
    ),
    "uv run loadgen upload runs s3://bucket/runs": (
        "a bucket of an S3 server on this machine",
        "tests/unit/archive/test_upload.py",
    ),
    "uv run locust -f scenarios/waves.py --headless --repeats 3": (
        "the reference server and two short loads",
        "tests/lifecycle/test_repeats.py",
    ),
    "uv run loadgen report runs/<id>": ("the folder of a run", "tests/lifecycle/test_deaths.py"),
    "uv run loadgen whatif runs/<id> --sweep hpa.target=0.1,0.2,0.4": (
        "the folder of a synthetic run",
        "tests/unit/whatif/test_fit.py",
    ),
    "uv run loadgen whatif runs/<id> --sweep hpa.target=0.1,0.2,0.4 --sweep hpa.scale_down_window_s=60,300": (
        "the folder of a synthetic run",
        "tests/unit/whatif/test_fit.py",
    ),
    "uv run loadgen plan arrivals.csv --capacity 3.3 --slots 4 --ttft 2 --start-up 60": (
        "a trace of six minutes",
        "tests/unit/whatif/test_plan.py",
    ),
    "uv run loadgen sandbox up --detach": ("a name of its own", "tests/kube/sandbox/test_sandbox.py"),
    "uv run loadgen sandbox exec -- kubectl get pods -A": ("a name of its own", "tests/kube/sandbox/test_sandbox.py"),
    "uv run loadgen sandbox down": ("a name of its own", "tests/kube/sandbox/test_sandbox.py"),
    "uv run loadgen sandbox exec -- uv run loadgen deploy --namespace llm "
    "--values charts/triton-trtllm/examples/emulated.yaml": ("other values", "tests/kube/run/test_target_kube.py"),
    "uv run loadgen sandbox exec -- uv run locust -f scenarios/waves.py --headless --target kube": (
        "a shorter load",
        "tests/kube/run/test_target_kube.py",
    ),
    "locust -f mine.py --headless --master --expect-workers 2 --master-bind-host '*'": (
        "both on this machine, started by --processes",
        "tests/contract/test_locust.py",
    ),
    "locust -f mine.py --worker --master-host HOST": (
        "both on this machine, started by --processes",
        "tests/contract/test_locust.py",
    ),
    "loadgen deploy --patience-s": ("a shorter time", "tests/unit/kube/deploy/test_readiness.py"),
    "loadgen sandbox exec -- kubectl get pods -A": ("a name of its own", "tests/kube/sandbox/test_sandbox.py"),
    "loadgen sandbox open prometheus.monitoring.svc:9090": ("a name of its own", "tests/kube/run/test_web_ui.py"),
    "helm install load charts/loadgen -n load-tests --create-namespace "
    "--set image.repository=REGISTRY/triton-loadgen "
    "--set target.namespace=serving --set target.workload=llm-triton-trtllm "
    "--set target.prometheus=http://prometheus-operated.monitoring.svc:9090 "
    "--set runs.create.enabled=true": ("a registry and a shorter load", "tests/kube/run/test_printed_commands.py"),
    "helm install nightly charts/loadgen -n load-tests --create-namespace "
    "--set image.repository=REGISTRY/triton-loadgen "
    "--set kind=CronJob --set cron.schedule='0 2 * * *' "
    "--set target.namespace=serving --set target.workload=llm-triton-trtllm "
    "--set target.prometheus=http://prometheus-operated.monitoring.svc:9090 "
    "--set runs.keepUrl=s3://BUCKET/nightly": (
        "a registry, a folder as the bucket, and a shorter load",
        "tests/kube/run/test_printed_commands.py",
    ),
}
"""Commands that run with something else than printed: what, and in which file."""

PARTS_OF_CI = re.compile(r"uv run pytest tests/(?!scan\b)[\w/]+(\.py)?( -n ?0)?|loadgen sandbox (build|up|down)")
"""Commands that run a part of what `.ci/run` runs, or one that another document prints with `uv run`."""

NOT_HERE = {
    "uv run loadgen clean --all": "removes the programs of all tests; test_clean.py has a cache",
    "kubectl -n serving create secret generic prometheus --from-file=token --from-file=ca.crt": (
        "needs the token of a Prometheus behind a login"
    ),
    "kubectl -n serving apply -f - <<'END'": "belongs to the Secret above; needs KEDA",
    "make check": "its commands are steps of `.ci/run`",
    "locust --help": "a command of Locust; it prints only Locust's flags",
    "python3 -m pip install uv": "changes the machine; `.ci/run` does it where uv is missing",
    "docker build --tag REGISTRY/triton-loadgen:0.1.0 . && docker push REGISTRY/triton-loadgen:0.1.0": (
        "needs a container engine and a registry; tests/wheel/test_dockerfile.py checks the files"
    ),
    "LOADGEN_KUBECONFIG=~/.kube/config uv run pytest tests/kube -n 0": "needs another cluster",
    "docker buildx imagetools inspect nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3": "needs a registry",
    "python3 -m venv /tmp/checkov && /tmp/checkov/bin/pip install checkov==3.3.30": "installs a tool of tests/scan",
    "PATH=$PATH:/tmp/checkov/bin:/tmp/kube-score uv run pytest tests/scan -n 0": "needs checkov and kube-score",
    "uv run pytest tests/scan -n 0": "needs checkov and kube-score",
    "UPDATE_GOLDEN=1 uv run pytest tests/unit/test_names_documented.py": "writes files; the tests compare them",
    "UPDATE_GOLDEN=1 uv run pytest tests/chart/test_golden.py": "writes files; the tests compare them",
    "uv run pre-commit install": "changes the checkout's Git hooks; it runs the steps of `make check`",
    "uv run pytest tests/kube/chart/test_transitions_under_load.py -n 0 --nightly": "a step of `make nightly`",
    "uv run pytest tests/accuracy/test_coverage.py --nightly": "a step of `make nightly`",
    "uv run python tests/support/hpa/record.py fast tests/support/hpa/recorded/fast.jsonl": "records for an hour",
    "uv run python tests/support/hpa/record.py slow tests/support/hpa/recorded/slow.jsonl": "records for an hour",
    "uv run python tests/support/hpa/table.py": "prints a table of the recordings for a document",
    "uv run python tests/benchmarks/analysis_scale.py": "takes minutes",
    "uv run python tests/benchmarks/analysis_scale.py --requests 1000000 --tokens 50 --compare": "takes minutes",
    "uv run python tests/benchmarks/whatif_proof.py local": "eight real runs; test_proof.py has synthetic ones",
    "uv run python tests/benchmarks/whatif_proof.py sandbox": "four real runs on a sandbox",
    "uv run python tests/benchmarks/whatif_scale.py": "measures CPU time on a quiet machine",
    "helm package charts/triton-trtllm charts/loadgen": "a step of a release",
}
"""Commands that no test runs, and why."""


def printed(document: str) -> list[str]:
    """Return the commands of a document in the order in which they are printed, without comments, one line each."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found: dict[str, None] = {}
    fences = r"^ *```(?:sh|bash|console)\n(?P<fenced>.*?)^ *```|^ *```.*?^ *```"
    for match in re.finditer(rf"{fences}|(?P<indented>(?:^ {{4}}.*\n)+)|`(?P<span>[^`\n]+)`", text, re.M | re.S):
        block = match["fenced"] or match["indented"] or match["span"] or ""
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            command = re.sub(r"\s+# .*", "", line).strip()
            is_name = match["span"] and not re.search(r" \S*[-./=<]", command)  # as in: see `loadgen deploy`
            if re.fullmatch(_PROGRAM, command) and not is_name:
                found[command] = None
    return list(found)
