# The few verbs of this repository; `make help` lists them. On a fresh Debian 12, as root, each one does its own set-up.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
export PYTHONDONTWRITEBYTECODE :=   # compiled once, not at every start
# A word like TESTS=e2e/test_rollback.py narrows `make e2e` down; `make test-all` runs all of e2e/.
TESTS ?= $(addprefix e2e/test_,bad_input.py judging.py rollout.py rollback.py)

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Tests that measure time run apart from those that compute: they mostly wait.
ALONE = $(shell grep -rl --include='test_*.py' 'mark\.alone' tests)

.PHONY: demo
demo: venv ## Show a rollout, and a rollback, of a real model on a real Kubernetes (CLUSTER=current uses the one that kubectl points at)
	$(PYTHON) -m e2e.demo $(if $(CLUSTER),--cluster $(CLUSTER))

.PHONY: demo-down
demo-down: venv ## End the demo and the cluster that it started
	$(PYTHON) -m e2e.demo down

.PHONY: test
test: check e2e ## Everything that a change must pass: `check` with the long tests and all examples too, then `e2e`

.PHONY: test-all
test-all: check ## Every test there is: `check` with the long tests and all examples, then all of e2e/ with every format of vLLM
	$(MAKE) e2e TESTS='e2e --ignore=e2e/vllm --ignore=e2e/placement --ignore=e2e/stores'
	$(MAKE) e2e TESTS=e2e/placement
	$(MAKE) e2e TESTS=e2e/stores
	$(MAKE) test-vllm

.PHONY: test-vllm
test-vllm: ## Every format that vLLM reads, on a real vLLM for CPUs
	$(MAKE) e2e TESTS=e2e/vllm

test test-all: export EXAMPLES = all
AND_SHORT = $(if $(filter all,$(EXAMPLES)),, and not long)

.PHONY: check
check: venv ## What needs no cluster: style, types, import contracts, the short tests with few examples, the chart
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest tests -m "not alone$(AND_SHORT)" -n auto --dist worksteal
	.venv/bin/pytest $(ALONE) -m "alone$(AND_SHORT)" -n auto
	.venv/bin/helm lint --strict charts/bitshift

.PHONY: e2e
e2e: venv ## Tests with a real control plane, engine and gateway, which it starts (TESTS=… narrows them down)
	$(PYTHON) -m e2e.cluster up
	.venv/bin/pytest $(TESTS)

.PHONY: format
format: venv ## Put the code into its form
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

.PHONY: crds
crds: venv ## Write the CRDs from the models, and the chart's table of values from its comments
	$(PYTHON) tests/crds.py
	$(PYTHON) tests/charts/values_table.py

.PHONY: bench-all
bench-all: $(addprefix bench-,$(notdir $(basename $(shell grep -ls '^def main' e2e/bench/*.py tests/bench/*.py)))) ## Every benchmark

# `make bench-sizing CASES=FILE` reads that file; PWD, unlike CURDIR, is where make was called from (`make -C`).
bench-%: venv ## One benchmark by the name of its file in e2e/bench or tests/bench
	@if [ -f e2e/bench/$*.py ]; then exec $(PYTHON) -m e2e.bench.$*; \
	elif [ -f tests/bench/$*.py ]; then \
	  $(if $(CASES),export CASES="$(if $(filter /%,$(CASES)),$(CASES),$(PWD)/$(CASES))";) exec $(PYTHON) -m tests.bench.$*; \
	else echo "There is no benchmark '$*': NAME must be a file in e2e/bench or tests/bench." >&2; exit 2; fi

.PHONY: venv
venv: $(INSTALLED) ## Make .venv, again only when pyproject.toml changed

$(INSTALLED): pyproject.toml
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(MAKE) --no-print-directory python
	test -x $(PYTHON) || python3 -m venv .venv
	test -x .venv/bin/uv || $(PYTHON) -m pip install --quiet uv
	.venv/bin/uv pip install --quiet --python $(PYTHON) -e '.[dev]' || $(PYTHON) -m pip install --quiet -e '.[dev]'
	@touch $@

.PHONY: python
python:
	@test "$$(id -u)" = 0 || { echo "Python 3.11 with its venv module must be installed: as root, apt-get install python3-venv" >&2; exit 1; }
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3 python3-venv
