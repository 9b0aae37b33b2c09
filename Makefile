# The whole of a newcomer's way: `make demo` runs the pipeline on the demonstration world, `make test` the tests.
.PHONY: help demo learn test test-distributed check bench pictures constraints compile images setup clean
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# A Python of 3.11 or 3.12; name another one with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
    $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
# uv takes neither pip's folders of wheels nor pip's index from the environment by itself.
UV := UV_PYTHON_DOWNLOADS=never UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$$PIP_INDEX_URL} $(BIN)/uv
WHEELS = $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS))
BENCH_DATA ?= ../shared/data
export DVC_NO_ANALYTICS := 1
# DVC starts `unidoc` by its name. (A remark behind the value would leave its spaces in the last folder.)
export PATH := $(CURDIR)/$(BIN):$(PATH)

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready  ## the environment in .venv, made anew only where pyproject.toml or constraints.txt changed

$(VENV)/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 with venv found: install one (Debian: python3 python3-venv), or name it: make PYTHON=..."; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet uv
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt $(WHEELS) --editable '.[cluster,dev]'
	@touch $@

demo: setup  ## run every stage on the demonstration world, and say what was made and where to look
	@echo "running the stages of dvc.yaml with $(VENV) ..."
	@dvc repro
	@echo "made:"
	@unidoc status
	@echo "run it again: only what has changed is done; README.md tells how to bring your own documents"

learn: setup  ## show what each level of the system adds, with intervals over three seeds; hours on two cores
	@unidoc learn --out artifacts/learn --params profiles/learn.yaml

test: setup check  ## lint, types and tests
	@echo "running the tests with $(VENV) ..."
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-distributed: setup  ## DeepSpeed on two processes, on the CPU: some minutes, and a compiler (g++)
	@DS_BUILD_OPS=0 $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt $(WHEELS) --editable '.[gpu]'
	@TORCH_EXTENSIONS_DIR=$$(mktemp -d) OMP_NUM_THREADS=1 $(BIN)/pytest tests/distributed.py

check: setup
	@echo "checking style and types with $(VENV) ..."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: export OMP_NUM_THREADS := 1
bench: setup  ## measure speed, memory and quality beside the peers; tables on screen, JSON in artifacts/bench
	@$(BIN)/python -m tests.benchmarks.sample
	@$(BIN)/python -m tests.benchmarks.ingest $(BENCH_DATA)/mmlongbench-dev/documents
	@$(BIN)/python -m tests.benchmarks.index --data $(BENCH_DATA)
	@$(BIN)/python -m tests.benchmarks.service --data $(BENCH_DATA)
	@$(BIN)/python -m tests.benchmarks.agent
	@$(BIN)/python -m tests.benchmarks.evaluate
	@$(BIN)/python -m tests.benchmarks.curate
	@$(BIN)/python -m tests.benchmarks.grpo
	@$(BIN)/python -m tests.benchmarks.step
	@$(BIN)/python -m tests.benchmarks.nano --model src/unidoc_rl/nano/weights
	@$(BIN)/python -m tests.benchmarks.costs $(BENCH_DATA)/mmlongbench-dev/documents

pictures: setup  ## take those of the README again, of what `make demo` made; needs Chromium
	@$(BIN)/python -m tests.pictures

compile: setup  ## write the Kubeflow pipelines that pipelines/ describes
	@unidoc pipeline compile

# As pipelines/version.py has it: the code of images and pipelines must be in the commit that both are named after.
CODE := src components pipelines images pyproject.toml constraints.txt .dockerignore
# Whichever is there and answers. REGISTRY=registry/team, which params.yaml has as pipeline.registry, is pushed to; IMAGES=cpu
# is built alone; BUILD_OPTIONS are the builder's, such as --build-arg PIP_INDEX_URL=...
BUILDER = $(shell for b in docker podman buildah; do $$b info >/dev/null 2>&1 && echo $$b && break; done)
COMMIT = $(shell git rev-parse --short=12 HEAD)
IMAGES = $(notdir $(wildcard images/*))
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

images:  ## build the images of the tasks and servers, tagged with the commit; REGISTRY=... pushes them there
	@test -n "$(BUILDER)" || { echo "no docker, podman or buildah that answers: install one, or name it: make images BUILDER=..."; exit 1; }
	@changed=$$(git status --porcelain -- $(CODE) ':!pipelines/*.yaml') || exit 1; test -z "$$changed" || { echo "$$changed"; \
	  echo "not committed, so no image could be tagged after it: commit first"; exit 1; }
	@for kind in $(IMAGES); do \
	  name=$(REGISTRY:%=%/)unidoc-rl-$$kind; \
	  $(BUILDER) build -f images/$$kind/Dockerfile --build-arg REVISION=$$(git rev-parse HEAD) $(BUILD_OPTIONS) \
	    -t $$name:$(COMMIT) -t $$name:$(VERSION) . || exit 1; \
	  if [ -n "$(REGISTRY)" ]; then $(BUILDER) push $$name:$(COMMIT) && $(BUILDER) push $$name:$(VERSION) || exit 1; fi; \
	done

constraints: setup  ## pin the newest versions that pyproject.toml and constraints.txt allow
	@$(UV) pip compile --quiet --no-header --no-annotate --all-extras $(WHEELS) --output-file constraints.txt pyproject.toml
	@sed -i 's/+cpu$$//' constraints.txt

clean:  ## remove what was made: artifacts and the environment
	rm -rf artifacts $(VENV)
