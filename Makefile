# `make demo` needs only Python and make; everything is installed into .venv from the lock files.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
IMAGE ?= assurebot
LOCK := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help venv run whoami demo test check bench kill lock image

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while read -r name text; do printf '%-8s %s\n' "$$name" "$$text"; done

venv: $(VENV)/.dev ## everything for working on the project, in .venv

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'AssureBot needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock | $(PY)
	$(PY) -m pip install --quiet --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime

run: $(VENV)/.runtime ## start the bot with the settings in the environment
	$(PY) -m assurebot run

whoami: $(VENV)/.runtime ## print the id of whoever writes to the bot
	$(PY) -m assurebot whoami

demo: $(VENV)/.runtime ## see it work without any account
	$(PY) -m assurebot demo

test: $(VENV)/.dev ## run the tests
	$(PY) -m pytest

check: $(VENV)/.dev ## format, lint, types, borders between the rooms, dependencies, lines
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/deptry .
	$(PY) tools/lines.py

bench: $(VENV)/.dev ## measure
	$(PY) -m bench

kill: $(VENV)/.dev ## kill the program again and again and count what was lost
	$(PY) -m tests.kill --seeds 3 --updates 1000 --kills 20

lock: $(VENV)/.dev ## resolve the dependencies anew
	$(LOCK) --output-file requirements.lock
	$(LOCK) --group dev --output-file requirements-dev.lock

image: ## build the container image
	docker build -t $(IMAGE) .
