.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
ENGINE_PATH ?= .
BIN := .venv/bin
STAMP := .venv/.stamp

# Each worker of the tests would compile all of them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Create .venv with everything in it

$(STAMP): pyproject.toml requirements-dev.txt
	@rm -f $@
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

.PHONY: run
run: $(STAMP) ## Run a real job to its end: report on a code base (ENGINE_PATH=... for another one)
	@$(BIN)/engine-mcp run --plan examples/codebase-report.yaml --path "$(ENGINE_PATH)"

.PHONY: test
test: $(STAMP) ## Run the tests
	@$(BIN)/python -m pytest --numprocesses 3 -m "not clients"

.PHONY: test-clients
test-clients: $(STAMP) ## Run the tests with the real Claude Code and OpenCode, installed from npm
	@$(BIN)/python -m scripts.clients
	@$(BIN)/python -m pytest tests/clients --numprocesses 3 --timeout 300

.PHONY: test-clients-all
test-clients-all: export TEST_ALL_FAULTS := 1
test-clients-all: test-clients ## The same with every fault of a provider, those too that are shown elsewhere

.PHONY: check
check: $(STAMP) ## Everything that must hold: test, test-clients, lint, types, contracts, docs
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target still moving

# Types are checked by one process, which would leave the other processors idle.
.PHONY: still moving
still: lint contracts docs types
moving: test
	@$(MAKE) --no-print-directory test-clients

.PHONY: lint
lint: $(STAMP) ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(STAMP) ## Check types, strictly
	@$(BIN)/pyright

.PHONY: contracts
contracts: $(STAMP) ## Check which module may import which
	@$(BIN)/lint-imports --no-cache --no-logo

.PHONY: docs
docs: $(STAMP) ## Check that the generated pages agree with the code
	@$(BIN)/python -m scripts.pages --check

.PHONY: pages
pages: $(STAMP) ## Write the generated pages anew
	@$(BIN)/python -m scripts.pages

.PHONY: manifest
manifest: $(STAMP) ## Mark the promises that tests show as shown
	@$(BIN)/python -m scripts.manifest

.PHONY: format
format: $(STAMP) ## Format the code and mend what can be mended safely
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: bench
bench: $(STAMP) ## Measure, and write the table of figures
	@$(BIN)/python -m bench.run

.PHONY: lock
lock: ## Pin the dependencies of pyproject.toml anew
	@scripts/lock "$(PYTHON)"

.PHONY: clean
clean: ## Remove what setup, tests and builds left
	@rm -rf .venv .bench .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
