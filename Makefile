# Each target installs what it needs: Debian or Ubuntu with Python 3.11 or newer and make is enough. `make help` lists
# the targets with the text after ##.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
POINTS ?= 200
RESOLVE := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links
ARGS ?=

SERVICE := $(VENV)/.installed-requirements.lock
DEVELOPMENT := $(VENV)/.installed-requirements-dev.lock

.PHONY: help demo test lint format draw backends bench soak lock
.DEFAULT_GOAL := test

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(SERVICE) ## all of Isthmus on this machine, with three pods that run (README.md)
	@exec $(BIN)/python -m deploy.demo

test: $(DEVELOPMENT) ## the tests, one process per core; ARGS="-k polling" passes options to pytest, ARGS="-n 0" uses one process
	@$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=16 --max-worker-restart=0 --durations=10 $(ARGS)

# mypy's Django plugin and the drawing commands load the settings, which refuse to start without these. Nothing connects to them.
lint draw: export ISTHMUS_SECRET_KEY := lint
lint draw: export ISTHMUS_ENCRYPTION_KEYS := lint:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
lint draw: export DATABASE_URL := postgresql:///lint
lint draw: export REDIS_URL := redis://lint
lint: $(DEVELOPMENT) ## the checks of CI besides the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy .
	$(BIN)/lint-imports

format: $(DEVELOPMENT) ## repair the findings of lint that ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

draw: $(DEVELOPMENT) ## generate the pages that come from the code: docs/roles.md, docs/states.md, docs/openapi.json
	@$(BIN)/python manage.py draw_roles
	@$(BIN)/python manage.py draw_states
	@$(BIN)/python manage.py draw_openapi

backends: ## install (as root) and start the real systems that tests use
	@tests/backends/install.sh
	@tests/backends/up.sh

bench: $(DEVELOPMENT) ## run the benchmarks, each beside its yardstick
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(DEVELOPMENT) ## the kill tests, at POINTS random points
	@KILL_POINTS=$(POINTS) $(BIN)/python -m pytest tests/test_kills.py --timeout=0 $(ARGS)

lock: $(DEVELOPMENT) ## resolve the dependencies again into the two lock files
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet pyproject.toml $(RESOLVE) --extra embedded --output-file requirements.lock
	$(BIN)/uv pip compile --quiet pyproject.toml $(RESOLVE) --extra embedded --group dev --output-file requirements-dev.lock

# Installs again only if the lock file has changed.
$(VENV)/.installed-%: % | $(BIN)/pip
	@echo "Installing $*"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement $*
	@touch $@

# On Debian, ensurepip, which venv needs, is in a separate package.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Isthmus needs Python 3.11 or newer: install it and name it, for example make PYTHON=python3.11." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { \
	    echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)." >&2; \
	    exit 1; }; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; }
	@$(PYTHON) -m venv $(VENV)
