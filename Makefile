# The project's commands; `make` alone lists them. Each sets up what it needs: uv and its Python environment from the
# lock, the local Kubernetes from pinned Go modules. What is slow to make is kept outside the tree, see CONTRIBUTING.md.

SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SOURCES := operator/src job_image/src pachyderm/src job_image/bench deploy/local tests
CRD := crd/pachydermsyncs.sync.pachyderm.io.yaml
REASONS := docs/troubleshooting.md
PROTO := s3sync_pachyderm/proto
# protoc DIR: write the messages' modules into a folder.
protoc = $(BIN)/python -m grpc_tools.protoc -Ipachyderm/src --python_out=$(1) --pyi_out=$(1) \
	$(PROTO)/pfs.proto $(PROTO)/version.proto

export UV_PYTHON_DOWNLOADS := never
# Where this is set, each of the hundreds of processes that the tests start would compile all of its sources anew.
unexport PYTHONDONTWRITEBYTECODE
# A cache on another file system than the tree cannot be linked from; that is no reason for a warning.
export UV_LINK_MODE ?= $(shell [ "$$(stat -c %d . 2>/dev/null)" = "$$(stat -c %d $${UV_CACHE_DIR:-$$HOME} 2>/dev/null)" ] && echo hardlink || echo copy)

# On two cores three processes take 14:11 and four 15:01: what they share is busy enough with three.
WORKERS ?= 3
SIDE_BY_SIDE = -n $(WORKERS) --dist loadgroup

.PHONY: help setup generate verify test test-local unit quick integration contract crash mutation demo e2e sandbox images sbom reproduce audit bench clean

help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.synced ## Make the Python environment from the lock.

.venv/.synced: pyproject.toml uv.lock operator/pyproject.toml job_image/pyproject.toml pachyderm/pyproject.toml deploy/local/pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
		|| { echo "Python 3.11 is missing: install it (Debian 12: apt-get install python3.11), or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@uv="$$($(PYTHON) deploy/local/bootstrap_uv.py)" && echo "==> Python environment from uv.lock" >&2 \
		&& "$$uv" sync --locked --compile-bytecode --python "$(PYTHON)" && touch $@

generate: .venv/.synced ## Write everything that is generated: the CRD, install.yaml, the chart's copies; format the sources.
	$(BIN)/python -m s3sync_operator.crd > $(CRD)
	$(BIN)/python -m s3sync_operator.troubleshooting > $(REASONS)
	$(BIN)/python -m s3sync_local.manifests
	$(BIN)/python -m tests.support.fields
	$(call protoc,pachyderm/src)
	$(BIN)/ruff format -q $(SOURCES)

verify: .venv/.synced ## Lint, types, architecture; fail if anything generated is not as committed.
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy operator/src job_image/src pachyderm/src deploy/local/src tests
	MYPYPATH=job_image/bench $(BIN)/mypy job_image/bench
	$(BIN)/lint-imports
	$(BIN)/python -m s3sync_operator.crd | diff -u $(CRD) - \
		|| { echo "$(CRD) is not as generated: run 'make generate' and commit" >&2; exit 1; }
	$(BIN)/python -m s3sync_operator.troubleshooting | diff -u $(REASONS) - \
		|| { echo "$(REASONS) is not as generated: run 'make generate' and commit" >&2; exit 1; }
	$(BIN)/python -m s3sync_local.manifests --check
	$(BIN)/python -m tests.support.fields --check
	made=$$(mktemp -d) && trap 'rm -rf "$$made"' EXIT && $(call protoc,"$$made") \
		&& diff -ur --exclude='*.proto' --exclude=__init__.py --exclude=__pycache__ pachyderm/src/$(PROTO) "$$made/$(PROTO)" \
		|| { echo "pachyderm/src/$(PROTO) is not as generated: run 'make generate' and commit" >&2; exit 1; }
	"$$($(PYTHON) deploy/local/bootstrap_uv.py)" lock --check

test: .venv/.synced ## All tests but e2e and test-local: unit, job, contract, clients, integration on a real API server.
	$(BIN)/python -m s3sync_local build cluster helm clients promtool
	$(BIN)/pytest $(SIDE_BY_SIDE) tests --ignore=tests/e2e --ignore=tests/sandbox --ignore=tests/local

test-local: .venv/.synced ## The tests of local cluster, node, images and stand-in; notes what it found green.
	$(BIN)/python -m s3sync_local build
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/local
	$(BIN)/python -m tests.local.covered --write

unit: .venv/.synced ## The tests that need no process and no server (seconds).
	$(BIN)/pytest tests/unit

quick: .venv/.synced ## What to run while writing: unit, and the contract on one stand-in, without TensorFlow.
	$(BIN)/pytest tests/unit tests/contract -n 2 --dist loadfile --ignore=tests/contract/test_tensorflow.py \
		--ignore=tests/contract/test_auth.py --ignore=tests/contract/test_pachd_access.py

integration: .venv/.synced ## The tests on a real API server.
	$(BIN)/python -m s3sync_local build cluster helm
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/integration

contract: .venv/.synced ## What we hold of Pachyderm, against the stand-in or S3_ENDPOINT=http://host:port.
	$(BIN)/pytest tests/contract

crash: .venv/.synced ## Kill operator and workers at random moments, KILLS=100 times; SEED=… for the same choices again.
	$(BIN)/python -m s3sync_local build
	CRASH_KILLS=$(or $(KILLS),100) CRASH_SEED=$(SEED) $(BIN)/pytest tests/integration/test_crashes.py -s

mutation: .venv/.synced ## Put 40 faults into a copy of the product, one at a time: a test must find each. FAULTS=… for some.
	$(BIN)/python -m s3sync_local build cluster helm
	$(BIN)/python -m tests.mutation $(if $(FAULTS),--only $(FAULTS)) $(MUTATION_FLAGS)

demo: .venv/.synced ## The main job on a local Kubernetes; KEEP=1 leaves it up until Ctrl-C.
	@exec $(BIN)/python -m s3sync_local.demo $(if $(KEEP),--keep)

sandbox: .venv/.synced ## What the end-to-end tests run in: no kill leaves anything; what the real node does. As root.
	@exec $(BIN)/python -m s3sync_local.e2e --sandbox

# Only what is said on the command line counts: a KUBECONFIG that lies in the environment may be anybody's cluster.
given = $(if $(filter command line,$(origin $(1))),--$(2)='$($(1))')

e2e: .venv/.synced ## All on a real kubelet, as root; or on yours: KUBECONFIG= S3_ENDPOINT= OPERATOR_IMAGE= JOB_IMAGE=.
	@exec $(BIN)/python -m s3sync_local.e2e $(call given,KUBECONFIG,kubeconfig) $(call given,S3_ENDPOINT,s3-endpoint) \
		$(call given,S3_ENDPOINT_HERE,s3-endpoint-here) $(call given,PACHD_ADDRESS,pachd-address) $(call given,OPERATOR_IMAGE,operator-image) \
		$(call given,JOB_IMAGE,job-image) $(E2E_FLAGS)

images: .venv/.synced ## Build all images into the cache, as root.
	@exec $(BIN)/python -m s3sync_local.images build $(NAMES)

sbom: .venv/.synced ## The bills of materials (CycloneDX) of the operator's and the job's image.
	@exec $(BIN)/python -m s3sync_local.images sbom

reproduce: .venv/.synced ## Build the operator's image (or NAMES=…) twice from nothing; both must be the same.
	@exec $(BIN)/python -m s3sync_local.images reproduce $(or $(NAMES),operator)

audit: .venv/.synced ## Known vulnerabilities of the locked dependencies; data out of reach is told, and no failure.
	@$(BIN)/python -m s3sync_local.images audit $(if $(SERVICE_URL),--service-url='$(SERVICE_URL)') || [ $$? -eq 3 ]

bench: .venv/.synced ## Time our ways against others', into docs/; on the stand-in, or S3_ENDPOINT= PACHD_ADDRESS=.
	$(BIN)/python job_image/bench/bench.py $(call given,S3_ENDPOINT,endpoint) $(call given,PACHD_ADDRESS,pachd-address) \
		$(BENCH_FLAGS)

clean: ## Remove what was made in the tree; the caches outside stay.
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
