# pixelarm: `make demo` and `make test` are all a newcomer needs; each sets everything up first, quickly the second time.

VENV := .venv
BIN := $(VENV)/bin
DOCS := .venv-docs
WORKERS ?= 2
# file by file, in the order of tests/conftest.py: what takes long comes first
BESIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rR --reruns 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-fast lint types doctor docs docs-serve constraints clean

help: ## what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PYTHON=python3.12 make setup   chooses the interpreter (3.11 or 3.12)"

setup: ## .venv with exact versions, system GL libraries; quick when nothing changed
	@PYTHON="$(PYTHON)" .ci/setup

demo: setup ## the main job: demonstrations, training, evaluation, ROS 2 episodes, report
	$(BIN)/pixelarm demo

test: setup lint types ## lint, types and the tests, two at a time; WORKERS=4 for four
	$(BIN)/python -m pytest -m "serial and not thorough" -rR --reruns 1
	$(BIN)/python -m pytest -m "not serial and not thorough" $(BESIDE)

test-all: test ## those that take long, too
	$(BIN)/python -m pytest -m thorough

test-fast: setup ## the tests for daily work, without the slow and the training ones
	$(BIN)/python -m pytest -m "not slow and not train"

lint: setup ## ruff: rules, and whether files are formatted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy: all packages, and the robot side as Python 3.10 reads it
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 robot

doctor: setup ## what this machine has, and what to do about what is wrong
	$(BIN)/pixelarm doctor

docs: setup $(DOCS)/.ready ## the documentation site in site/; a broken link is an error
	PIXELARM_PYTHON=$(BIN)/python NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

docs-serve: setup $(DOCS)/.ready ## the documentation site at 127.0.0.1:8000, built again after each change
	PIXELARM_PYTHON=$(BIN)/python NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve

# The site's tools, in an environment of their own: `make test` does not need them.
$(DOCS)/.ready: pyproject.toml constraints.txt
	$(BIN)/python -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install -q -c constraints.txt $$($(BIN)/python .ci/extra docs)
	touch $@

constraints: $(DOCS)/.ready ## write constraints.txt anew from what .venv and .venv-docs hold
	$(BIN)/python .ci/freeze > constraints.new
	mv constraints.new constraints.txt

clean: ## remove caches and build products; keeps .venv and runs
	rm -rf build dist log install site *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find robot sim hardware policies configs launch tests -name __pycache__ -type d -prune -exec rm -rf {} +
