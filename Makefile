# make demo · make test · make bench. Everything lives in .venv, which the first of them creates.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

USER_STAMP := $(VENV)/.installed-forecasting
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-benchmarks

# The kernel's build folder stays, so that `make kernel` compiles only what changed, offline.
KERNEL := $(VENV)/kernel
KERNEL_WERROR ?= OFF
BUILD_TOOLS := scikit-build-core nanobind cmake ninja
CMAKE := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cmake
CTEST := $(BIN)/ctest --output-on-failure --no-tests=error
C_FILES = $(wildcard csrc/*.h csrc/*.cpp csrc/*/*.h csrc/*/*.cpp csrc/*/*/*.h csrc/*/*/*.cpp)

.PHONY: help demo kernel kernel-test test sanitize format bench docs clean

help:
	@echo 'make demo         forecast real weather: fit, evaluate, predict; needs no network after the install'
	@echo 'make test         format, lint, types, tests, docs'
	@echo 'make kernel       compile what changed in csrc/, for the Python in .venv'
	@echo 'make kernel-test  build and run the C++ tests'
	@echo 'make sanitize     the same under the address, undefined-behaviour and thread sanitizers'
	@echo 'make format       format Python and C++'
	@echo 'make bench        measure every number of docs/results.md again'
	@echo 'make docs         build the documentation into docs/_build/html'
	@echo 'make clean        remove what the others made'

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
	$(CMAKE) --build $(KERNEL) --target _kernel
	$(CMAKE) --install $(KERNEL) --component python --prefix \
	    "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"

kernel-test: $(DEV_STAMP)
	$(CMAKE) --build $(KERNEL)
	$(CTEST) --test-dir $(KERNEL)

test: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)
	$(MAKE) --no-print-directory kernel-test
	$(MAKE) --no-print-directory kernel
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile
	$(MAKE) --no-print-directory docs

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

# The C++ tests again, with the compiler's own checks on every access: what it finds ends a test.
sanitize: $(DEV_STAMP)
	@$(MAKE) --no-print-directory sanitize-run SANITIZE=address,undefined FOLDER=build/sanitize-address
	@$(MAKE) --no-print-directory sanitize-run SANITIZE=thread FOLDER=build/sanitize-thread RUN='$(NOT_RANDOM)'

# The thread sanitizer does not start where a kernel spreads addresses wider than it expects.
NOT_RANDOM = $(shell setarch --addr-no-randomize true 2>/dev/null && echo setarch --addr-no-randomize)

.PHONY: sanitize-run
sanitize-run:
	$(CMAKE) -S csrc -B $(FOLDER) -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCAROUSEL_MODULE=OFF -DCAROUSEL_TESTS=ON \
	    -DCAROUSEL_SANITIZE=$(SANITIZE) -DCAROUSEL_WERROR=$(KERNEL_WERROR)
	$(CMAKE) --build $(FOLDER)
	TSAN_OPTIONS=die_after_fork=0 $(RUN) $(CTEST) --test-dir $(FOLDER)

docs: $(DEV_STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

bench: $(BENCH_STAMP)
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
	    --config-settings=cmake.define.CAROUSEL_TESTS=ON \
	    --config-settings=cmake.define.CAROUSEL_WERROR=$(KERNEL_WERROR) -e '.[forecasting,text,speech,dev]'
	touch $(USER_STAMP) $@

# The libraries that the layer is raced against, without building the package again.
$(BENCH_STAMP): $(DEV_STAMP)
	$(PIP_INSTALL) $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["benchmarks"])')
	touch $@

$(USER_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[forecasting,text,speech]'
	touch $@
