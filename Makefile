# Every target works in a fresh clone: whatever it needs is installed into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install compile demo test test-forms check bench chaos test-docker lock clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## install callverdict and the tools of this repository into .venv

compile: $(INSTALLED) ## compile the core again, after its sources have changed; until then plain Python runs
	$(BIN)/python ops/compile_core.py

demo: $(INSTALLED) ## start a real Kafka, play a real switch's ring-all calls, watch the verdicts and the tallies
	$(BIN)/callverdict demo

test: $(INSTALLED) ## run every test that needs no Docker, a real Kafka included
	$(BIN)/pytest -m "not docker"

test-forms: compile ## run the core's tests on both of its forms, compiled and plain Python
	CALLVERDICT_TEST_FORM=compiled $(BIN)/pytest -q tests/core tests/simulation
	CALLVERDICT_TEST_FORM=plain CALLVERDICT_CORE=python $(BIN)/pytest -q tests/core tests/simulation

check: $(INSTALLED) ## ruff, mypy, import contracts and the fast tests, in under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m "not kafka and not docker and not slow"

bench: $(INSTALLED) ## measure CPU per event and latency through a real Kafka, beside other programs that do the same job
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r ops/bench/decoders.txt
	$(BIN)/callverdict bench $(if $(ONLY),--only $(ONLY)) $(if $(EVENTS),--events $(EVENTS)) $(if $(ROUNDS),--rounds $(ROUNDS))

chaos: $(INSTALLED) ## kill workers and brokers under load and look whether every event counts once: SEED= EVENTS= KILLS= BROKERS=1|3
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(EVENTS),--events $(EVENTS)) $(if $(KILLS),--kills $(KILLS)) $(if $(BROKERS),--brokers $(BROKERS))

test-docker: $(INSTALLED) ## prove the image, the compose file and testcontainers on a Docker engine
	$(BIN)/pytest -m docker -rs

lock: $(INSTALLED) ## pin requirements.txt and ops/*requirements.txt anew from pyproject.toml
	ops/lock.sh

clean: ## remove what the other targets made in this folder
	rm -rf $(VENV) pipeline/core/native .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "callverdict needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
