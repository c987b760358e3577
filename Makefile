# Each target is complete on a fresh machine with Python >= 3.10: it makes ./.venv, installs, and runs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check bench clean

demo: .venv/edge  ## the shipped model on the shipped picture, without torch
	$(BIN)/edgehrnet demo

test: .venv/dev  ## every test and doctest
	$(BIN)/python -m pytest

check: .venv/dev  ## formatting, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/dev  ## side-by-side measurements; run on an idle machine
	$(BIN)/python benchmarks/letterbox.py

clean:
	rm -rf .venv

.venv:
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/edge: pyproject.toml constraints.txt | .venv
	$(PIP) --editable ".[openvino]"
	touch $@

.venv/dev: pyproject.toml constraints.txt | .venv
	$(PIP) --editable ".[dev]"
	touch $@ .venv/edge
