# Build Courier. `make help` lists what there is; each target sets up what it needs by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test check generate format clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## Make the virtual environment from the lock

# The lock has hashes; the project itself is installed without asking for anything else.
$(VENV)/.ready: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.x"; exit 2; }
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup  ## See it work: the real template and functions on an embedded AWS, against simulated providers
	@$(BIN)/courier run

test: setup  ## The whole test suite
	$(BIN)/python -m pytest

check: setup  ## Style, types, and the template's and state machine's linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m scripts.generate --check

generate: setup  ## Write what is derived: the picture in the README, the JSON Schemas
	@$(BIN)/python -m scripts.generate

format: setup  ## Put the sources into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove everything that can be made again
	rm -rf $(VENV) .venv-* .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis node_modules out
