# `make` alone lists what there is. Needs Python 3.11 or newer, make and git; brings the rest.
# Settings of pip and uv (PIP_*, UV_*, their files) are taken as they are.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# The first that is new enough; `make PYTHON=/path/to/python` overrides it.
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& command -v $$p && break; done)
# uv: the one on the path, else one that pip brings into .uv.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
UV_NEEDED := $(filter .uv/bin/uv,$(UV))
READY := $(VENV)/.ready

ARGS ?=
PATHS := src tests benchmarks docs

.PHONY: help setup demo trial bench bench-overload bench-slots bench-plan bench-stages bench-tick bench-chaos \
	bench-gradual bench-load bench-controls bench-hazard bench-sequence bench-profile \
	browser pictures test \
	check fmt format-check lint types contracts docs golden lock clean distclean

help: ## List the targets (default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## Make .venv from the pinned, hashed requirements (once)

demo: $(READY) ## Run the demo; ARGS="--headless --seed 7 --json report.json" are passed on
	@$(BIN)/foreshard demo $(ARGS)

# Ends with an error where a claim does not hold; the page is written all the same.
trial: $(READY) ## All policies in all scenarios, as docs/scoreboard.md (1 h); ARGS="--seeds 1-20"
	@$(BIN)/foreshard lab scoreboard --ablations --json build/scoreboard.json \
		--markdown docs/scoreboard.md $(ARGS)

browser: ## Bring Chromium for the tests of the report's page (Debian packages, as root)
	@.ci/browser

# Without a browser the tests that need one fail and say so; the others still run.
test: $(READY) ## Run all tests; ARGS="-k slots" are passed on
	@$(MAKE) browser || echo 'make test: the tests in a browser will fail' >&2
	@if test -z '$(ARGS)'; then .ci/tests; else $(BIN)/pytest $(ARGS); fi

pictures: $(READY) browser ## Draw docs/pictures anew; ARGS=report.json from a run, --fresh from one
	@PYTHONPATH=. $(BIN)/python benchmarks/pictures.py $(ARGS)

bench: $(READY) ## The demo over several seeds, as tables (35 min); ARGS="--seeds 1-5"
	@$(BIN)/python benchmarks/story.py $(ARGS)

bench-overload: $(READY) ## Three overloads against an oracle, no forecast (12 min); ARGS="--seeds 1-2"
	@$(BIN)/python benchmarks/overload.py $(ARGS)

bench-slots: $(READY) ## Slots that move under load; ARGS="--rate 5000 --duration-s 60"
	@$(BIN)/python benchmarks/slots.py $(ARGS)

bench-plan: $(READY) ## Planners against each other (5 min); ARGS="--cells 1000 --event surge"
	@$(BIN)/python benchmarks/plan.py $(ARGS)

bench-stages: $(READY) ## Scenarios on the live and the simulated stage, as a table (20 min)
	@$(BIN)/python -m benchmarks.stages $(ARGS)

bench-tick: $(READY) ## What a tick costs beside the solver, by stage; ARGS="--against HEAD~1"
	@$(BIN)/python benchmarks/tick.py $(ARGS)

bench-hazard: $(READY) ## What a refresh of 10,000 cells costs (2 min); ARGS="--fit 700"
	@$(BIN)/python benchmarks/hazard.py $(ARGS)

bench-sequence: $(READY) ## What the sequence model costs, beside trend and Prophet (2 min)
	@$(BIN)/python benchmarks/sequence.py $(ARGS)

bench-profile: $(READY) ## What requests cost, told and true (3 min); ARGS="--seeds 1-3"
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.costs $(ARGS)

bench-chaos: $(READY) ## SIGKILL at random, 100 times, beside a twin (15 min)
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

bench-controls: $(READY) ## What nobody can foresee; DATA=directory of the tables
	@$(BIN)/python benchmarks/controls.py --data $(DATA) $(ARGS)

bench-load: $(READY) ## Risk under another load, said and true; ARGS="--seeds 4-6"
	@$(BIN)/python benchmarks/load_response.py $(ARGS)

bench-gradual: $(READY) ## Slow faults against every learner (10 min); ARGS="--seeds 4-6"
	@$(BIN)/python benchmarks/gradual.py $(ARGS)

# One after the other, cheapest first, also under -j: the first failure is the one to read.
check: $(READY) ## Is it fine? Format, lint, types, import contracts, docs, tests
	@$(MAKE) format-check && $(MAKE) lint && $(MAKE) types && $(MAKE) contracts && \
		$(MAKE) docs && $(MAKE) test

fmt: $(READY) ## Format the code and apply what lint can fix by itself
	@$(BIN)/ruff check --fix --exit-zero --quiet $(PATHS)
	@$(BIN)/ruff format $(PATHS)

format-check: $(READY)
	@$(BIN)/ruff format --check $(PATHS)

lint: $(READY) ## Lint with every rule that has no written reason against it
	@$(BIN)/ruff check $(PATHS)

types: $(READY) ## Check types, strictly
	@$(BIN)/mypy

contracts: $(READY) ## Check who may import whom
	@$(BIN)/lint-imports --no-cache

# Nothing is fetched, and what is new or changed is read again, no more; warnings are errors.
docs: $(READY) ## Build the documentation into build/docs
	@$(BIN)/python -m sphinx -b html -n -W --keep-going -q -j auto -d build/doctrees \
		docs build/docs
	@echo 'make docs: build/docs/index.html'

golden: $(READY) ## Rewrite the golden files; review the difference before you commit it
	@FORESHARD_GOLDEN=rewrite $(BIN)/pytest -q $(ARGS)

# Without an address of any registry: whoever installs brings their own.
LOCK := pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"

lock: | $(UV_NEEDED) ## Pin the requirements anew; ARGS="--upgrade" takes the newest versions
	@test -n '$(PYTHON)' || { echo 'make lock: needs Python 3.11 or newer' >&2; exit 1; }
	$(UV) $(LOCK) $(ARGS) --python $(PYTHON) pyproject.toml --all-extras --group dev \
		--group docs -o requirements/dev.txt
	$(UV) $(LOCK) $(ARGS) --python $(PYTHON) pyproject.toml --extra demo \
		-c requirements/dev.txt -o requirements/run.txt
	$(UV) $(LOCK) $(ARGS) --python $(PYTHON) pyproject.toml \
		-c requirements/dev.txt -o requirements/core.txt
	$(UV) $(LOCK) $(ARGS) --python $(PYTHON) requirements/build.in \
		-c requirements/dev.txt -o requirements/build.txt
	$(UV) $(LOCK) $(ARGS) --python $(PYTHON) requirements/uv.in -o requirements/uv.txt

clean: ## Remove caches and build products
	@rm -rf build dist docs/reference/code .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv and the installer too
	@rm -rf $(VENV) .uv

# pip stands in where uv cannot reach the registry that pip is set up for.
$(READY): requirements/dev.txt pyproject.toml | $(UV_NEEDED)
	@test -n '$(PYTHON)' || { echo 'make: needs Python 3.11 or newer on the path, or PYTHON=' \
		'with its place' >&2; exit 1; }
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt || { \
		echo 'make: uv could not install; trying pip with the same pinned hashes' >&2; \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --no-deps --require-hashes \
			-r requirements/dev.txt; }
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
		--offline --editable .
	@touch $@

# A Python without ensurepip (some distributions split it off) makes no venv; its pip still
# installs into a folder.
.uv/bin/uv: requirements/uv.txt
	@test -n '$(PYTHON)' || { echo 'make: needs Python 3.11 or newer on the path, or PYTHON=' \
		'with its place' >&2; exit 1; }
	@rm -rf .uv
	@{ $(PYTHON) -m venv .uv >/dev/null 2>&1 && .uv/bin/python -m pip install --quiet \
		--require-hashes -r requirements/uv.txt; } \
	|| { rm -rf .uv && $(PYTHON) -m pip install --quiet --target .uv \
		--require-hashes -r requirements/uv.txt; } \
	|| { rm -rf .uv; echo 'make: pip could not bring uv; install uv or pip for $(PYTHON), or' \
		'see the message above' >&2; exit 1; }
	@touch $@
