# Everything that a fresh machine with Python and make needs: `make demo` and `make test` set themselves up.
# Recipes use paths relative to this folder only, so the checkout may lie anywhere, spaces in its path included.

PYTHON ?= python3
DEMO_OUT ?= runs/demo

PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet

# Part of the stamps' names: an editable install writes the version down, so a new version must be installed anew.
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' minifcn/__init__.py)

.DEFAULT_GOAL := help
.PHONY: help demo pictures test test-full bench gpu clean

help: ## show this list (the default)
	@echo "minifcn $(VERSION). The first target that needs it makes an environment in .venv; then nothing is downloaded."
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo "Settings: make demo DEMO_OUT=FOLDER; make bench BENCH=OPTIONS; for another Python: make clean test PYTHON=/path/to/python3"

demo: .venv/demo-$(VERSION) ## train a network on built-in street scenes: about two minutes, then look at its picture
	.venv/bin/minifcn train --data street --out "$(DEMO_OUT)" --overwrite

pictures: demo ## the same, and draw the picture on top of the README from it
	$(PY) docs/pictures.py "$(DEMO_OUT)"

test: .venv/test-$(VERSION) ## run the test suite, without the thousands of random cases
	$(PY) tests/run.py

test-full: .venv/test-$(VERSION) ## run those thousands of random cases
	$(PY) tests/run.py full

bench: .venv/bench-$(VERSION) ## measure every pass and whole networks beside PyTorch: BENCH="--quick --rows LRN"
	$(PY) -m benchmarks.cpu $(BENCH)

gpu: ## run the tests that need a GPU and measure it beside PyTorch: GPU="--quick --minutes 8"; installs nothing
	"$(PYTHON)" -m pytest -q -m gpu; tested=$$?; "$(PYTHON)" -m benchmarks.gpu $(GPU) && exit $$tested

clean: ## remove the environment, builds and caches (runs/ stays)
	rm -rf .venv build dist minifcn.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. An empty stamp file stands for each step that is done, and is written only when it succeeded, so an
# interrupted step is done again. Changed metadata (pyproject.toml, setup.py) start from an empty environment.

.venv/made: pyproject.toml setup.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "minifcn: error: expected $(PYTHON) to be Python 3.10 or newer, got: $$("$(PYTHON)" --version 2>&1)." \
	       "Install one, or name one that you have: make PYTHON=/path/to/python3"; exit 1; } >&2
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "minifcn: error: expected $(PYTHON) to have its modules venv and ensurepip, got only a part of them." \
	       "On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; } >&2
	@echo "Making an environment in .venv"
	@"$(PYTHON)" -m venv --clear .venv
	@touch $@

.venv/demo-$(VERSION): .venv/made
	@echo "Installing minifcn and what it needs into .venv (some 150 MB the first time)"
	@$(PIP) -e ".[viz]"
	@touch $@

.venv/test-$(VERSION): .venv/made
	@echo "Installing minifcn, what it needs and what its tests need into .venv (some 250 MB the first time)"
	@$(PIP) -e ".[test,viz]"
	@touch $@

.venv/bench-$(VERSION): .venv/made
	@echo "Installing minifcn, PyTorch and ONNX Runtime into .venv (up to some GB the first time)"
	@$(PIP) -e ".[parity]"
	@touch $@
