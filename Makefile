# `make demo` needs only Python and make; everything is installed into .venv from the lock files.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
IMAGE ?= assurebot
SANDBOX_IMAGE ?= assurebot-sandbox
LOCK := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --quiet pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help venv run whoami demo test check bench kill hooks soak lock image sandbox-image

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

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

# The Python of the embedded box: half a minute, once, and again when what it is made of changes.
$(VENV)/.component: requirements-build.lock assurebot/sandbox/component.py $(wildcard assurebot/sandbox/guest/*) | $(VENV)/.runtime
	$(PY) -m pip install --quiet --require-hashes -r requirements-build.lock
	$(PY) -m assurebot sandbox build
	@touch $@

.PHONY: component
component: $(VENV)/.runtime
	@$(MAKE) --no-print-directory $(VENV)/.component || \
		echo 'There is no embedded box here; code needs a container engine then.'

run: $(VENV)/.runtime component ## start the bot with the settings in the environment
	$(PY) -m assurebot run

whoami: $(VENV)/.runtime ## print the id of whoever writes to the bot
	$(PY) -m assurebot whoami

demo: $(VENV)/.runtime component ## see it work without any account
	$(PY) -m assurebot demo

test: $(VENV)/.dev $(VENV)/.component ## run the tests
	$(PY) -m pytest -n auto

check: $(VENV)/.dev ## format, lint, types, borders between the rooms, dependencies, lines
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/deptry .
	$(PY) tools/lines.py

bench: $(VENV)/.dev $(VENV)/.component ## measure
	$(PY) -m bench

kill: $(VENV)/.dev ## kill the program again and again and count what was lost
	$(PY) -m tests.kill --seeds 3 --updates 1000 --kills 20

hooks: $(VENV)/.dev ## post 1,000 webhooks at once, kill the program in between, count what was lost
	$(PY) -m tests.webhook_load

soak: $(VENV)/.dev ## play every case of abuse, many runs and kills, and count what is left; needs an engine
	$(PY) -m tests.abuse --rounds 3 --runs 1000 --kills 50

lock: $(VENV)/.dev ## resolve the dependencies anew
	$(LOCK) --extra embedded --output-file requirements.lock
	$(LOCK) --extra embedded --extra embedded-build --output-file requirements-build.lock
	$(LOCK) --extra embedded --extra embedded-build --group dev --output-file requirements-dev.lock
	$(filter-out pyproject.toml,$(LOCK)) requirements-sandbox.in --output-file requirements-sandbox.lock

image: ## build the container image
	docker build -t $(IMAGE) .

sandbox-image: ## build the image of the boxes: LANGUAGES=full for more languages
	docker build $(if $(NETWORK),--network=$(NETWORK)) $(foreach name,BASE_IMAGE LANGUAGES,$(if $($(name)),--build-arg $(name)=$($(name)))) \
		-f Dockerfile.sandbox -t $(SANDBOX_IMAGE) .
