# Two commands do all the set-up: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	@echo "making the environment in $(VENV) (once, a few minutes)"
	$(PYTHON) -m venv $(VENV)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP) ## make the environment

run: setup ## everything from nothing to a served recommendation; DATA=path for your own metrics
	$(BIN)/harmonic up $(if $(DATA),--data '$(DATA)') $(ARGS)

test: setup ## run every test
	$(BIN)/python -m pytest -n auto --dist loadfile

check: setup ## format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## the offline path beside a bare DuckDB join
	$(BIN)/harmonic bench offline

clean: ## remove the environment and all local state
	rm -rf $(VENV) .harmonic
