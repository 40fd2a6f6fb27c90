# Everything a developer does, by name. Nothing here needs root.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# A real redis-server for the tests: the machine's, else the one that PyPI has.
REDIS = $(if $(shell command -v redis-server),,$(shell echo ,redis))

.PHONY: help run dev test lint format package e2e bench clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: $(VENV)/ready ## install, and start the server with the demo upstream
	MOSMETRO_LOG=text $(BIN)/twistd --nodaemon --pidfile= metro-backend --demo

dev: $(VENV)/dev ## the same, started again whenever a source file changes
	MOSMETRO_LOG=text $(BIN)/watchfiles --filter python \
	    "$(BIN)/twistd --nodaemon --pidfile= metro-backend --demo" metro_backend twisted

test: $(VENV)/ready ## install, and run the tests
	$(BIN)/trial tests

lint: $(VENV)/dev ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/dev ## put the code into its style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

package: $(VENV)/dev ## build wheel and sdist, and try each in a clean environment
	tests/packaging.sh $(BIN)/python

e2e: $(VENV)/e2e ## tests that need apt, npm or root; they skip with the reason without
	$(BIN)/trial e2e

bench: $(VENV)/dev ## measure, as ratios within one run
	$(BIN)/python bench/run.py

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist *.egg-info var _trial_temp* .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -o -name dropin.cache | xargs rm -rf

$(VENV)/ready: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test$(REDIS)]'
	touch $@

$(VENV)/e2e: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[e2e]'
	touch $@

$(VENV)/dev: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lint,dev]'
	touch $@
