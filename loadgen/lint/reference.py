"""Writes the reference of all pitfalls."""

# ruff: noqa: E501 - rows of Markdown tables

from loadgen.lint.codes import ALL

_INTRO = """\
# Pitfalls that `loadgen lint` finds

```sh
uv run loadgen lint charts/triton-trtllm/examples/llama-3.1-8b-h100.yaml
uv run loadgen lint --namespace llm
```

| input | how it is read |
|---|---|
| a file of values of the bundled chart | rendered with helm, which must be on `PATH`; several files are merged as by `loadgen deploy`, and `--set KEY=VALUE` sets a single value |
| a file or folder of manifests, or `-` for standard input, such as the output of `helm template` | all objects of all inputs belong together, and so do rule files of Prometheus (`groups:`), also in ConfigMaps; of several objects with one name the last counts; those that name no namespace are in that of `--namespace` |
| `--namespace` without files | the live namespace, with the kubeconfig and `--context` as for `loadgen deploy`; also rules and monitors of Prometheus in other namespaces and the configuration of prometheus-adapter, as far as they may be read |

Each pitfall is printed with its evidence (object, file, field and value), its consequence and its fix. With an **error** requests
fail or scaling cannot work; a **warning** does harm under some loads. What cannot be told from the input is not reported: an
expression with a variable, a workload or rule that the input lacks.

Rules for expressions (`query.*`) apply to recording rules, rules of prometheus-adapter and triggers of KEDA; where none of the
autoscalers reads the value, their errors are warnings. Rules for pods apply to workloads that look like Triton: with the label of the
bundled chart, an image with `tritonserver`, the ports 8001 and 8002, or scaled by an autoscaler of the input and with a GPU or a
probe for `/v2/health`. Autoscalers of other workloads are left out. `metric.cpu` is a warning beside another metric, and
`pod.no_gpu` an error with an image of TensorRT-LLM or vLLM.

| exit code | meaning |
|---|---|
| 0 | no pitfalls, or only warnings |
| 1 | errors, or with `--strict` warnings |
| 2 | the input cannot be read: not YAML, empty, no objects of Kubernetes, values that the chart refuses, no such namespace |
| 4 | helm is missing, or the API server does not answer |

`--json` prints one document: `errors`, `warnings`, `unread` (kinds that the account may not list, each with the reason) and
`pitfalls`, each with `code`, `severity`, `file`, `kind`, `namespace`, `name`, `field`, `value`, `chart_value` (for values of
the chart: the value to change), `consequence` and `fix`.

| code | severity | consequence | fix |
|---|---|---|---|
"""


def markdown() -> str:
    """Return docs/lint.md."""
    rows = (f"| `{each.code}` | {each.severity} | {_cell(each.consequence)} | {_cell(each.fix)} |" for each in ALL)
    return _INTRO + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
