# Two commands: `make run` and `make test`; each makes what it needs and skips what is there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PORT ?= 4200

.PHONY: help run test ui serve env clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 20

run: $(READY) ## the whole way, raw logs to a release; SOURCE=name FROM=path PROFILE=quick|full for other data
ifneq ($(SOURCE)$(FROM)$(PROFILE),)
	@$(BIN)/decant configure $(if $(SOURCE),--source $(SOURCE)) $(if $(FROM),--from '$(FROM)') $(if $(PROFILE),--profile $(PROFILE))
endif
	@$(BIN)/python -m flows.retrain

test: $(READY) ## the tests, with style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2

ui: $(READY) ## a Prefect server with every flow and its schedule; PORT=4200
	@PORT=$(PORT) $(BIN)/python -m flows.serve --with-server

serve: $(READY) ## the HTTP service on the production channel
	@$(BIN)/decant serve

env: $(READY) ## the virtual environment in .venv

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "decant needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (once, some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean: ## remove the environment and caches; data and releases stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
