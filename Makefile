# Each target does its own set-up: a virtual environment beside this file, filled once
# and again when setup.cfg or the Python version changes.
#
#   make quickstart                    train a small model on a CPU and watch it write rules
#   make test                          the test suite, at most ten minutes on two cores
#   make test-notebooks                every notebook of colab/, twice
#   make tables                        every table of configs/tables from results/runs
#   make PYTHON=python3.12 test        the same with another Python

PYTHON ?= python3
JOBS ?= 2
CONFIG ?= configs/quickstart.py
WORKDIR ?= runs/quickstart
FLAGS ?=
SHOW ?= highlight cells greater than 5 and less than 800

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
CORE := $(VENV)/.core-$(VERSION)
DEV := $(VENV)/.dev-$(VERSION)
LIBTPU := $(VENV)/libtpu-$(VERSION)
# The requirement of jax's own extra, "libtpu==...".
LIBTPU_PIN := from importlib.metadata import requires as r; print(next(x.split(";")[0] for x in r("jax") if x.startswith("libtpu")))
CUDA := $(VENV)/cuda-$(VERSION)
# The CUDA plugin of the same version as jax, and NVIDIA's compiler.
JAX_VERSION := import jax; print(jax.__version__)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart test test-slow test-tpu-compile test-tpu-compile-slow test-gpu-compile \
  test-reliability test-notebooks notebooks tables figures lint format doctor clean

quickstart: $(CORE)
	$(BIN)/codefusion train --config=$(CONFIG) --workdir=$(WORKDIR) $(FLAGS)
	$(BIN)/codefusion evaluate --workdir=$(WORKDIR)
	$(BIN)/codefusion sample --workdir=$(WORKDIR) "$(SHOW)" --show_denoising

test: $(DEV)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

test-slow: $(DEV)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "slow and not tpu_compile"

# What a run survives, at full size: hours. Each script ends in a line of figures.
RELIABILITY := kill faults corrupt sigterm resume meshes processes disk non_finite memory
test-reliability: $(LIBTPU)
	status=0; for name in $(RELIABILITY); do \
	  $(BIN)/python -m benchmarks.reliability.$$name || status=1; done; \
	PYTHONPATH=$(LIBTPU) $(BIN)/python -m benchmarks.reliability.scaling || status=1; exit $$status

# The TPU compiler, in a folder of its own: beside jax it would be taken for a TPU.
test-tpu-compile: $(LIBTPU)
	PYTHONPATH=$(LIBTPU) $(BIN)/python -m pytest -q -n $(JOBS) -m "tpu_compile and not slow"

# Whole plans, each of several compilations.
test-tpu-compile-slow: $(LIBTPU)
	JAX_PLATFORMS=cpu PYTHONPATH=$(LIBTPU) $(BIN)/python -m pytest -q -m "tpu_compile and slow"

# Likewise the GPU compilers, 700 MB.
test-gpu-compile: $(CUDA)
	JAX_PLATFORMS=cpu PYTHONPATH=$(CUDA) $(BIN)/python -m pytest -q -m gpu_compile

# Each notebook twice, the second time as after a disconnect; on a CPU, without a network.
test-notebooks: $(DEV)
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/test_notebooks.py

# The notebooks from their scripts, without outputs.
notebooks: $(DEV)
	$(BIN)/jupytext --update --to ipynb colab/*.py

# Every table anew from what is kept of its runs: nothing is trained.
tables: $(CORE)
	$(BIN)/codefusion table configs/tables/*.py --workdir=results --stored=results/runs --notrain

figures: $(DEV)
	$(BIN)/python -m experiments.plots results/tables/steps.json results/tables/frontier.json results/refinement.json

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

doctor: $(CORE)
	$(BIN)/codefusion doctor

$(CORE): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "codefusion needs Python 3.11 or newer; PYTHON is $(PYTHON). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) -e .
	@touch $@

$(DEV): $(CORE)
	$(PIP) -e '.[dev,eval,plot,tensorboard]'
	@touch $@

$(LIBTPU): $(DEV)
	$(PIP) --no-deps --target $@ "$$($(BIN)/python -c '$(LIBTPU_PIN)')"

$(CUDA): $(DEV)
	version=$$($(BIN)/python -c '$(JAX_VERSION)') && $(PIP) --no-deps --target $@ \
	  jax-cuda13-plugin==$$version jax-cuda13-pjrt==$$version nvidia-cuda-nvcc nvidia-nvvm

clean:
	rm -rf $(VENV) build dist *.egg-info
