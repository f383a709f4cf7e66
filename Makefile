# Every target sets up its own environment in .venv from requirements.lock.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PROFILE ?= tiny
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: run test test-fast check bench serve setup vllm
.DEFAULT_GOAL := run

run: setup
	$(BIN)/almost run --profile $(PROFILE)

serve: setup
	$(BIN)/almost serve

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-fast: setup
	$(BIN)/python -m pytest -m "not slow and not flow"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

# vLLM, in an environment of its own (another torch); engine.kind vllm finds it there. Needs NVIDIA GPUs to run.
vllm: .venv-vllm/.installed

.venv-vllm/.installed: pyproject.toml
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	.venv-vllm/bin/python -m pip install --quiet --group vllm
	touch $@

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed, found " + sys.version.split()[0] + "; run make with PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@
