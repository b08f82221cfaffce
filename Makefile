# On a fresh machine with Python 3.11 or newer, `make quickstart` and `make test` do everything.
# Another interpreter: make PYTHON=python3.12 ...; another environment: make VENV=/path/to/venv ...

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check
# How long the campaign goes on, and from which seed it draws.
MINUTES ?= 60
SEED    ?= 1
# More options for pytest, e.g. make test PYTEST_ARGS="-k split -x"
PYTEST_ARGS ?=

INSTALLED     := $(VENV)/.installed
DEV_INSTALLED := $(VENV)/.installed-dev
DOCS_INSTALLED := $(VENV)/.installed-docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install dev quickstart test test-all lint format types contract check docs docs-links bench bench-gpu campaign hooks clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make the environment and install rgbench with its embedded data set

dev: $(DEV_INSTALLED) ## install, with what tests and checks need

# constraints.txt holds torch at one version, lest pip replace it by a newer, larger build.
# firstgalaxydata declares torchvision, which only its own module needs. rgbench reads the data inside
# the package by path, so it is installed without dependencies: torchvision would bring another torch.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("rgbench needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .
	$(PIP) install -c constraints.txt --no-deps firstgalaxydata
	@touch $@

$(DEV_INSTALLED): $(INSTALLED)
	@echo 'pip may say that firstgalaxydata lacks matplotlib and torchvision: nothing here needs them'
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

quickstart: $(INSTALLED) ## install, then train and compare three networks on real images (minutes)
	$(BIN)/rgbench quickstart

# One process per core, each with one thread: threads that wait for each other slow all of them down.
test: $(DEV_INSTALLED) ## run the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

test-all: $(DEV_INSTALLED) ## run all tests, the slow ones too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "slow or not slow" $(PYTEST_ARGS)

lint: $(DEV_INSTALLED) ## look for mistakes and for code that is not formatted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV_INSTALLED) ## mend what the linter can mend, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV_INSTALLED) ## check the types
	$(BIN)/mypy --strict src

contract: $(DEV_INSTALLED) ## check that imports go down the house only
	$(BIN)/lint-imports

check: lint types contract test ## all that a change must pass

$(DOCS_INSTALLED): $(INSTALLED)
	$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@

# Every warning is an error. GALLERY=0 leaves out what the examples print and draw: a minute in place of some minutes.
docs: $(DOCS_INSTALLED) ## make the site, build/site/index.html, and run its examples
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m sphinx -W --keep-going -q -j auto -b html docs build/site

docs-links: $(DOCS_INSTALLED) ## ask the network whether the site's external links lead somewhere
	GALLERY=0 $(BIN)/python -m sphinx -q -b linkcheck docs build/links

bench: $(DEV_INSTALLED) ## measure speed beside plain PyTorch (benchmarks/)
	$(BIN)/python benchmarks/speed.py

bench-gpu: $(DEV_INSTALLED) ## measure what a GPU gives, and keep it under benchmarks/results/
	$(BIN)/python benchmarks/gpu.py --out benchmarks/results/gpu.json

campaign: $(DEV_INSTALLED) ## break inputs, kill commands, strain stores, for MINUTES (docs/campaign.md)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.campaign --minutes $(MINUTES) --seed $(SEED) --keep campaign-failed --out campaign.json

hooks: $(DEV_INSTALLED) ## check every commit from now on
	$(BIN)/pre-commit install

clean: ## remove the environment, builds and caches; results stay
	rm -rf $(VENV) build dist docs/api/generated docs/examples src/*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
