# `make help` lists what can be made. Nothing here needs Docker or root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What `make run` and `make test` take from the command line (make run WEB_PORT=8001).
# Exported empty, they would hide what `.env` says.
$(foreach name,WEB_PORT SANDBOX_PORT LOCAL_DIR,$(if $($(name)),$(eval export $(name))))

.PHONY: help
help:  ## show this list
	@printf 'Usage: make TARGET [NAME=value ...]\n\n'
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) \
		| sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 12
	@printf '\nWEB_PORT (8000), SANDBOX_PORT (8010) and LOCAL_DIR (.local) let several\n'
	@printf 'copies run side by side; ARGS goes to test and manage.\n'

# --- use it ------------------------------------------------------------------

.PHONY: run
run: install messages  ## start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/python -m local_stack run

.PHONY: install
install: $(STAMP)  ## make .venv with everything that is needed
	@:

$(STAMP): requirements/base.txt requirements/dev.txt
	@command -v $(PYTHON) >/dev/null || { \
		echo 'make install: there is no $(PYTHON) on this machine. Install Python' \
			'3.11 or newer, or name one: make install PYTHON=/path/to/python3'; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make install: $$($(PYTHON) --version) is too old, the bridge needs" \
			'Python 3.11 or newer. Name one: make install PYTHON=python3.12'; \
		exit 1; }
	@echo '==> Installing into $(VENV) (once, takes about a minute)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo 'make install: Python could not make a virtual environment. On Debian' \
			'and Ubuntu: apt install python3-venv'; \
		rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--requirement requirements/dev.txt
	@touch $@

.PHONY: shell
shell: install  ## a Django shell with the local database
	@exec $(BIN)/python -m local_stack exec -- python manage.py shell

.PHONY: manage
manage: install  ## any command of manage.py: make manage ARGS="migrate"
	@exec $(BIN)/python -m local_stack exec -- python manage.py $(ARGS)

# --- work on it --------------------------------------------------------------

.PHONY: test
test: install  ## run the tests: make test ARGS="-k webhook"
	@exec $(BIN)/python -m pytest $(ARGS)

.PHONY: check
check: install  ## everything CI runs: style, types, contracts, tests
	@exec $(BIN)/python -m local_stack.checks

.PHONY: chaos
chaos: install  ## break the running stack and count: make chaos ARGS="--only 1,5"
	@exec $(BIN)/python -m chaos $(ARGS)

.PHONY: format
format: install  ## put the code in the common form
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: messages
messages: install  ## compile the translations (.po to .mo)
	@$(BIN)/python -m local_stack.translations compile

.PHONY: extract
extract: install  ## bring the .po files up to date with the texts in the code
	@$(BIN)/python -m local_stack.translations extract

.PHONY: clean
clean:  ## remove caches and compiled files; keeps .venv and the data in .local
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.local/*' -prune \
		-exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@rm -rf staticfiles
