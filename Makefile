# Everything a developer runs. Each target does its own set-up and says what it does.
#
# What is built or fetched stays outside of the checkout, in $XDG_CACHE_HOME/replicated-memcached (default: ~/.cache).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

export RMC_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/replicated-memcached
export CARGO_TARGET_DIR ?= $(RMC_CACHE)/target

# the trace of an error that a test returns hides what it says
export RUST_LIB_BACKTRACE ?= 0

# how long `make test` runs each kind of fuzzing, seconds
export FUZZ_SECONDS ?= 20
# that of `make fuzz`; not for the scripts, since bash has a variable of that name
unexport SECONDS
# how many histories `make simulate` and `make test` play
export RMC_SIM_HISTORIES ?= 20000

.PHONY: help
help: ## This list
	@echo "make targets:"
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 16
	@echo "caches: $(RMC_CACHE), cargo builds in $(CARGO_TARGET_DIR)"

.PHONY: tools
tools: ## Check that this machine can build; says what to install
	@scripts/tools.sh

.PHONY: build
build: tools ## Release binaries at target/release/{memcached-sidecar,memcached-operator,e2e}
	cargo build --release --locked --workspace --bins
	@scripts/install-binaries.sh

.PHONY: demo-local
demo-local: build ## A replicating pair of processes on this machine: writes, a crash, the data back
	target/release/e2e demo-local

.PHONY: images
images: tools ## Build the images; with REGISTRY=registry.example.org they are pushed there. Needs docker, or root on Debian
	@scripts/cluster/images.sh $(if $(REGISTRY),--push "$(REGISTRY)",--build-only)

.PHONY: cluster
cluster: tools ## A Kubernetes to play with: kind with three workers, our images in it; needs docker, or root on Debian
	@scripts/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## Remove the cluster and all that runs for it
	@scripts/cluster/down.sh

.PHONY: e2e
e2e: tools ## The tests in Kubernetes, on the cluster that is up; else one is started and removed afterwards
	@scripts/e2e.sh

.PHONY: demo
demo: tools ## A pair in Kubernetes: writes, a lost pod, the data back. USE_KUBECONFIG=1: in the cluster of KUBECONFIG
	@scripts/demo.sh

.PHONY: demo-down
demo-down: ## Remove all that demo made
	@scripts/demo.sh down

.PHONY: test
test: tools ## Everything that is checked; a skip says why, and is a failure with CI=true
	@scripts/test.sh

.PHONY: lint
lint: tools ## Only formatting, clippy, documentation and dependencies
	@scripts/test.sh lint

.PHONY: simulate
simulate: tools ## Play RMC_SIM_HISTORIES (default 20000) of two replicas, or replay the one of RMC_SIM_SEED
	cargo test --locked -p sidecar --all-features --test simulation -- --nocapture \
		$(if $(RMC_SIM_SEED),one_seed,histories_hold)

.PHONY: test-pairs
test-pairs: tools ## Pairs of real processes against real memcached: differential, rows, restarts, faults
	@scripts/test-pairs.sh

.PHONY: bench
bench: build ## The table of speed against plain memcached, as ratios of one run
	target/release/e2e bench

.PHONY: bench-kind
bench-kind: tools ## The table in Kubernetes: a pair of pods beside a memcached in a pod, on the cluster that is up or one for it
	@scripts/bench-kind.sh

.PHONY: fuzz
fuzz: tools ## SECONDS=n (default 60): fuzz all decoders, then compare random requests with memcached as long
	@scripts/fuzz.sh "$(or $(SECONDS),60)"

.PHONY: generate
generate: tools ## Write the CRD, the chart's copy, docs/fields.md and docs/flags.md from the programs
	GENERATE=1 cargo test --quiet --locked -p sidecar -p operator --test reference

.PHONY: format
format: tools ## Format all code
	cargo fmt --all

.PHONY: clean
clean: ## Remove what was built; what was fetched stays
	rm -rf "$(CARGO_TARGET_DIR)" target
