# `make` lists the targets. Everything is installed into folders of this checkout (.tools, .venv);
# nothing else on the machine is touched.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check gen golden bench bench-peers bench-operator soak images images-gpu check-gpu manifests lock clean setup e2e cluster-up cluster-down cluster-load

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := $(shell command -v uv || echo $(CURDIR)/.tools/bin/uv)
BIN := $(CURDIR)/.venv/bin
READY := .venv/.ready
LOCKED := operator/pyproject.toml runtime/pyproject.toml pyproject.toml
# the machine's own certificates (a company's proxy), and never a Python that nobody asked for
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
# what is downloaded stays in the checkout; UV_CACHE_DIR=… shares a cache
export UV_CACHE_DIR ?= $(CURDIR)/.tools/cache
# training and measuring load ONNX Runtime too: it must not collect usage data (the runtime says so by itself)
export ORT_DISABLE_TELEMETRY := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## train the fraud models, serve them split and mirrored, send 2,000 transactions (ONCE=1: then end)
	@$(BIN)/python examples/demo.py $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

test: check ## check, and all tests that need no root, whole files side by side (ARGS="-n 0": one after the other)
	@echo "== tests"
	@$(BIN)/python -m pytest -q --ignore=tests/cluster -n auto --maxprocesses 4 --dist loadfile $(ARGS)

e2e: setup ## the tests in a real cluster: needs Docker, or root on a Debian (docs/guides/development-cluster.md)
	@echo "== tests in a cluster"
	@WYE_E2E=1 $(BIN)/python -m pytest -v --durations=12 tests/cluster tests/images tests/chart tests/sweep tests/clients tests/runtime/test_models.py $(ARGS)

cluster-up: ## start a cluster to develop with: kind where Docker is, else processes (root, Debian); cold 15 min, warm 12 s
	@tests/cluster/cluster up

cluster-down: ## end it, and remove everything but the cache of built programs
	@tests/cluster/cluster down

cluster-load: ## load images into it (IMAGES="archive.tar name:tag"; default: what `make images` built)
	@tests/cluster/cluster load $(or $(IMAGES),$(foreach name,operator runtime router,$(or $(REGISTRY),localhost)/wye-$(name):$(or $(TAG),$(shell sed -n 's/^version = "\(.*\)"/\1/p' operator/pyproject.toml))))

check: setup gen ## ruff, format, mypy --strict, import-linter, generated files are up to date
	@echo "== ruff";          $(BIN)/ruff check .
	@echo "== ruff format";   $(BIN)/ruff format --check .
	@echo "== mypy";          $(BIN)/mypy && $(BIN)/mypy examples/demo.py charts/make.py
	@echo "== import-linter"; $(BIN)/lint-imports --no-cache >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@echo "== generated files"; git diff --exit-code -- docs/reference crds images/locks charts deploy

gen: setup ## write the generated files (docs/reference, crds, images/locks, charts, deploy)
	@$(BIN)/python -m wye_operator.cli.reference docs/reference
	@$(BIN)/wye crds crds
	@$(BIN)/python images/locks/make.py
	@$(BIN)/python charts/make.py

golden: setup ## rewrite the golden files (tests/golden); read the diff like code
	@$(BIN)/python -m pytest -q tests/golden tests/chart --rewrite

bench: setup ## measure: bare session.run, runtime, router, mirrors, the router beside others, the runtime beside its limit, metrics and traces
	@$(BIN)/python tests/bench/run.py $(ARGS)
	@$(BIN)/python tests/bench/routers.py $(ARGS)
	@$(BIN)/python tests/bench/limit.py $(ARGS)
	@$(BIN)/python tests/bench/sight.py $(ARGS)
	@$(BIN)/python tests/bench/one_router.py $(ARGS)

bench-peers: setup ## beside Triton, mlserver, kserve, azureml, litserve, bentoml, ray serve on one core (ARGS="--rounds 5 --only Triton")
	@$(BIN)/python tests/bench/beside.py $(ARGS)

soak: setup ## ten minutes and a million requests of all kinds with each version of ONNX Runtime: memory must be flat (ARGS="--seconds 60")
	@$(BIN)/python tests/bench/soak.py $(ARGS)

bench-operator: setup ## many Endpoints at one operator, on fake nodes in a cluster of its own: root on a Debian (ENDPOINTS="50 1000")
	@$(BIN)/python tests/bench/scale.py --endpoints $(or $(ENDPOINTS),50 1000)

images: ## build the images with docker or buildah and print their sizes (BASE=, TAG=, REGISTRY=)
	@images/build

images-gpu: ## build the runtime's image for NVIDIA's GPUs, which CI does not: 1.6 GB to download (BASE=, TAG=, REGISTRY=)
	@images/build runtime-gpu

check-gpu: ## check and measure the runtime on this machine's NVIDIA GPU (ARGS="--seconds 3"; docs/guides/gpu.md)
	@tests/gpu/run.sh $(ARGS)

manifests: ## write deploy/wye.yaml from the chart (needs helm)
	@charts/manifests

lock: $(UV) ## renew requirements.lock and requirements-gpu.lock from the pyproject files
	@$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
	  --upgrade --no-emit-package wye-operator --no-emit-package wye-runtime \
	  --group pyproject.toml:dev --group pyproject.toml:examples \
	  --all-extras operator/pyproject.toml runtime/pyproject.toml -o requirements.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
	  --upgrade --constraints requirements.lock --group pyproject.toml:gpu -o requirements-gpu.lock

clean: ## remove what make and the examples made (not the tools)
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find examples -name '*.onnx' -delete; rm -f $(addprefix examples/secure/,credentials.yaml endpoint.yaml token.txt); find . -name '.wye' -prune -exec rm -rf {} +; find . -name __pycache__ -prune -exec rm -rf {} +

setup: $(READY)

$(READY): requirements.lock $(LOCKED) | $(UV)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "Wye needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@echo "== installing the locked packages into .venv (a minute the first time)"
	@[ -x $(BIN)/python ] || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" .venv
	@VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(UV) pip install --quiet --no-deps --no-build-isolation -e operator -e runtime
	@touch $@

$(CURDIR)/.tools/bin/uv:
	@echo "== bringing uv $(UV_VERSION) into .tools (no uv on the PATH)"
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "neither uv nor pip is here: install uv, or python3-pip, then run make again" >&2; exit 1; }
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .tools "uv==$(UV_VERSION)"
