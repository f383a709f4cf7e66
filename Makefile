# `make run` and `make serve` install what a run needs (requirements.lock) in .venv; the other targets add what development
# needs (requirements-dev.lock). Any Python that pyproject.toml admits will do: make PYTHON=/path/to/python3.12
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c '$(SUPPORTED)' 2>/dev/null && { command -v $$name; break; }; done)
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PROFILE ?= tiny
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export NO_MKDOCS_2_WARNING := 1

.PHONY: run test test-fast test-pythons check bench serve docs reference setup develop lock vllm
.DEFAULT_GOAL := run

run: setup
	$(BIN)/almost run --profile $(PROFILE)

serve: setup
	$(BIN)/almost serve

test: develop
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-fast: develop
	$(BIN)/python -m pytest -m "not slow and not flow"

# The tests on each supported Python that starts on this machine, in an environment of its own (.venv-3.12, ...).
test-pythons:
	@for version in 3.11 3.12 3.13; do \
		if python$$version -c '' 2>/dev/null; then $(MAKE) test PYTHON=python$$version VENV=.venv-$$version || exit 1; \
		else echo "python$$version does not start here: not tested"; fi; \
	done

check: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m deployments.reference --check
	$(BIN)/mkdocs build --strict

bench: develop
	$(BIN)/python -m benchmarks

# The site of docs/, in build/site/.
docs: reference
	$(BIN)/mkdocs build --strict

# docs/reference/ anew, after a field of a profile or an option of a command changed.
reference: develop
	$(BIN)/python -m deployments.reference

# vLLM, in an environment of its own (another torch); engine.kind vllm finds it there. Needs NVIDIA GPUs to run.
vllm: .venv-vllm/.installed

.venv-vllm/.installed: requirements-vllm.txt
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-vllm.txt
	touch $@

setup: $(VENV)/.installed

develop: $(VENV)/.developed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(call install,requirements.lock)
	touch $@

$(VENV)/.developed: requirements-dev.lock requirements.lock pyproject.toml
	$(call install,requirements-dev.lock)
	touch $(VENV)/.installed $@

# An environment made by uv has no pip until ensurepip brings it.
define install
	@test -x $(BIN)/python || "$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "Python 3.11, 3.12 or 3.13 is needed; say where it is: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
endef

# The locks anew after pyproject.toml changed, with uv (uv lock --upgrade-package NAME raises a version). torch itself
# pins what its CUDA build needs, and its CPU build needs none of it: the pip locks leave those packages out.
UV ?= uv
EXPORT = $(UV) export --quiet --locked --no-hashes --no-annotate --no-header --no-emit-project
lock:
	$(UV) lock
	$(EXPORT) --no-default-groups | grep -Ev '^(cuda-|nvidia-|triton=)' > requirements.lock
	{ echo "-r requirements.lock"; $(EXPORT) --only-group dev | grep -vxFf requirements.lock; } > requirements-dev.lock
