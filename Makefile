# Two commands: `make run` and `make test`; each makes what it needs and skips what is there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# what is given reaches a command through its environment, where no quote or $ in it is looked at
override SOURCE := $(value SOURCE)
override FROM := $(value FROM)
override PROFILE := $(value PROFILE)
override PROTOCOL := $(value PROTOCOL)
override GROUPS := $(value GROUPS)
override PORT := $(value PORT)
export SOURCE FROM PROFILE PROTOCOL PORT
# by another name: $GROUPS of bash are those of the account, whatever it is set to
export STUDENT_GROUPS := $(GROUPS)

# what lasts takes the place of the recipe's shell, so that SIGTERM to make reaches it, and ends with
# make (the shell's parent) even if that is killed
LASTING = exec $(BIN)/python -m decant.starter $$PPID

.PHONY: help run test coverage mutations docs ui serve env clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 20

run: $(READY) ## the whole way, raw logs to a release; SOURCE=name FROM=path PROFILE=quick|full PROTOCOL=p1 GROUPS=activity for other data
	@test -z "$$SOURCE$$FROM$$PROFILE$$PROTOCOL$$STUDENT_GROUPS" || $(BIN)/decant configure $${SOURCE:+"--source=$$SOURCE"} $${FROM:+"--from=$$FROM"} $${PROFILE:+"--profile=$$PROFILE"} $${PROTOCOL:+"--protocol=$$PROTOCOL"} $${STUDENT_GROUPS:+"--groups=$$STUDENT_GROUPS"}
	@$(LASTING) $(BIN)/python -m flows.retrain

test: $(READY) ## the tests, with style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy -n 2
	@# coverage is cheap from Python 3.12 on; before, it makes the tests a fifth slower: `make coverage`
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
	  COVERAGE_CORE=sysmon $(BIN)/python -m pytest -q -n 2 --cov --cov-report= && \
	  echo "lines run by the tests: $$($(BIN)/python -m coverage report --format=total) %"; \
	else $(BIN)/python -m pytest -q -n 2; fi

coverage: $(READY) ## the tests, and which lines they do not run
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info > (3, 12) else "ctrace")') \
	$(BIN)/python -m pytest -q -n 2 --cov --cov-report=term-missing:skip-covered

mutations: $(READY) ## change one decision of the code at a time: a test must fail each time
	$(BIN)/python -m tests.mutations

docs: $(READY) ## the documentation as a site in site/, readable without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html (with search: $(BIN)/python -m http.server -d site)"

ui: $(READY) ## a Prefect server with every flow and its schedule; PORT=4200
	@$(LASTING) $(BIN)/python -m flows.serve --with-server $${PORT:+"--port=$$PORT"}

serve: $(READY) ## the HTTP service on the production channel; PORT=8080
	@$(LASTING) $(BIN)/decant serve $${PORT:+"--port=$$PORT"}

env: $(READY) ## the virtual environment in .venv

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "decant needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (once, some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean: ## remove the environment, caches and the site; data and releases stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache site .coverage *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
