# Each target works on a fresh machine with Python >= 3.10: it makes ./.venv, installs what it needs, and runs.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One thread for each worker: torch's threads would otherwise wait for those of the other workers. Whole files, so that no
# two workers build the same files. In the order of tests/conftest.py, which begins with what takes longest.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

CASES ?= 20000
SEED ?= 0
MINUTES ?= 10
WEB_MODEL := web/public/model/document-corners.onnx

.PHONY: demo test quick edge fuzz fuzz-ci soak kills disks audit check docs web bench bench-check release dev clean

demo: .venv/edge  ## the shipped model on the shipped picture, without torch
	$(BIN)/edgehrnet demo

test: .venv/dev  ## every test and doctest, with branch coverage
	$(PYTEST) --cov

quick: .venv/dev  ## the tests that train nothing, build no file and install nothing
	$(PYTEST) -m "not slow"

edge: .venv/edge-test  ## the tests of the edge part, without torch
	$(BIN)/python -m pytest tests/edgehrnet tests/runtimes edgehrnet runtimes --ignore tests/edgehrnet/models --ignore edgehrnet/models

fuzz: .venv/dev  ## damaged and odd input for every reader; CASES and SEED choose how much and which
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.fuzz --cases $(CASES) --seed $(SEED)

fuzz-ci: .venv/dev  ## a minute of the same, as each change must pass
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.fuzz --cases 1000000 --seconds 58

soak: .venv/dev  ## predict for MINUTES, with MODEL if given, and fail if memory, threads or handles grow; Linux only
	OMP_NUM_THREADS=1 $(BIN)/python tools/soak.py --minutes $(MINUTES) $(if $(MODEL),--model $(MODEL))

kills: .venv/dev  ## kill the commands that write files, CASES=200 times, and check what they leave; Linux only
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.kills --cases $(if $(filter 20000,$(CASES)),200,$(CASES)) --seed $(SEED)

disks: .venv/dev  ## run the same commands on disks that are full or read-only; Linux only, as root
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.kills.disks

audit: .venv/audit  ## look the pinned packages up in PyPI's list of vulnerabilities; needs the network
	.venv/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

check: .venv/dev  ## formatting, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/docs  ## the documentation site, in ./site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

web: .venv/dev $(WEB_MODEL)  ## the browser package and page: types, tests, and Chromium clicking; needs Node 20 and Chromium
	cd web && npm ci --no-progress && npm run check && npm run build && npm test && npm run test:page

$(WEB_MODEL): checkpoints/document-corners-hs.pt tools/web_model.py | .venv/dev
	$(BIN)/python -m quant.export $< --targets onnx --precision int8 --parity-pictures 0 --out build/web
	$(BIN)/python -m tools.web_model build/web/document-corners-int8.onnx $@

bench: .venv/dev  ## side-by-side measurements; run on an idle machine
	$(BIN)/python benchmarks/speed.py --out benchmarks/speed.json

bench-check: .venv/dev  ## name the ratios of speed that have moved since they were stored
	$(BIN)/python benchmarks/speed.py --check benchmarks/speed.json

release: .venv/release  ## wheel and sdist in ./dist, each installed in a fresh environment, where the demo runs
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python tools/check_release.py dist

dev: .venv/dev  ## install everything, and the hooks that run before each commit
	$(PIP) pre-commit
	$(BIN)/pre-commit install

clean:
	rm -rf .venv dist site

.venv:
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/edge: pyproject.toml constraints.txt | .venv
	$(PIP) --editable ".[openvino]"
	touch $@

.venv/edge-test: pyproject.toml constraints.txt | .venv
	$(PIP) --editable ".[openvino,onnx,test]"
	touch $@ .venv/edge

.venv/docs: pyproject.toml constraints.txt | .venv
	$(PIP) --editable ".[train,docs]"
	touch $@

.venv/audit: | .venv
	$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet --disable-pip-version-check pip-audit || { rm -rf $@; exit 1; }

.venv/release: constraints.txt | .venv
	$(PIP) build
	touch $@

.venv/dev: pyproject.toml constraints.txt | .venv
	$(PIP) --editable ".[dev]"
	touch $@ .venv/edge .venv/docs
