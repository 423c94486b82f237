# make demo · make test · make bench. Everything lives in .venv, which the first of them creates.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

USER_STAMP := $(VENV)/.installed-forecasting
DEV_STAMP := $(VENV)/.installed-dev

# The kernel's build folder stays, so that `make kernel` compiles only what changed, offline.
KERNEL := $(VENV)/kernel
BUILD_TOOLS := scikit-build-core nanobind cmake ninja
CMAKE := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cmake

.PHONY: help demo kernel test bench docs clean

help:
	@echo 'make demo    forecast real weather: fit, evaluate, predict; needs no network after the install'
	@echo 'make kernel  compile what changed in csrc/'
	@echo 'make test    format, lint, types, tests, docs'
	@echo 'make bench   measure every number of docs/results.md again'
	@echo 'make docs    build the documentation into docs/_build/html'
	@echo 'make clean   remove what the others made'

demo: $(USER_STAMP)
	mkdir -p demo
	$(BIN)/carousel fit forecasting sample:weather --horizon 24 --max-steps 800 --max-minutes 2 --out demo/weather.model --force
	$(BIN)/carousel evaluate demo/weather.model sample:weather --plot demo/backtest.png --force
	$(BIN)/carousel predict demo/weather.model sample:weather --out demo/forecast.csv --plot demo/forecast.png --force
	@echo
	@echo 'the model, with its card   demo/weather.model/README.md'
	@echo 'the backtest, drawn        demo/backtest.png'
	@echo 'the next 24 hours          demo/forecast.csv'
	@echo 'the same, drawn            demo/forecast.png'

# Compiles what changed in csrc/ and puts it where the editable install looks for it.
kernel: $(DEV_STAMP)
	$(CMAKE) --build $(KERNEL)
	$(CMAKE) --install $(KERNEL) --component python --prefix \
	    "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"

test: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest
	$(MAKE) --no-print-directory docs

docs: $(DEV_STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: $(DEV_STAMP)
	@set -e; for script in benchmarks/[a-z]*.py; do \
	    echo "$(BIN)/python $$script"; $(BIN)/python $$script; done
	$(BIN)/python benchmarks/_results.py

clean:
	rm -rf $(VENV) demo build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# The development install contains the demo's, so it satisfies both stamps.
$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) $(BUILD_TOOLS)
	CAROUSEL_KERNEL=require PATH="$(abspath $(BIN)):$$PATH" $(PIP_INSTALL) --no-build-isolation \
	    --config-settings=build-dir=$(KERNEL) \
	    --config-settings=cmake.define.CAROUSEL_TESTS=ON -e '.[forecasting,dev]'
	touch $(USER_STAMP) $@

$(USER_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[forecasting]'
	touch $@
