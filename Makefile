# `make help` lists the targets. Each one is a command of README.md or CONTRIBUTING.md.
.DEFAULT_GOAL := help
.PHONY: help check test kube nightly fuzz golden charts demo wheel

help:  ## List the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 12

check:  ## Lint, format and types
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy

test:  ## The default tests (README)
	uv run pytest

kube:  ## The tests on a real control plane; builds it first if needed
	uv run loadgen sandbox build
	uv run pytest tests/kube -n 0

nightly: fuzz  ## Everything that CI runs, random inputs for every parser, and the tests that are too long for it
	bash .ci/run
	uv run pytest tests/unit tests/accuracy --hypothesis-profile=nightly --timeout=900
	uv run pytest tests/accuracy/test_coverage.py --nightly
	uv run pytest tests/kube/chart/test_transitions_under_load.py -n 0 --nightly

fuzz:  ## Random inputs for every parser of outside data, a minute each
	uv run pytest tests/unit/test_fuzz.py --fuzz-seconds 60 --dist load

golden:  ## Rewrite the golden files and the generated documents, then show what changed
	UPDATE_GOLDEN=1 uv run pytest tests/golden tests/chart tests/unit/test_names_documented.py tests/unit/lint -n 0
	git diff --stat -- tests/golden docs

charts:  ## Copy the emulated engine into the chart, and rewrite the charts' READMEs
	uv run python charts/files.py
	uv run python charts/readme.py

demo:  ## The main job on the local stack
	uv run locust -f scenarios/waves.py --headless

wheel:  ## Build the wheel and test it in a clean environment
	uv run pytest tests/wheel -n 0
