# What to do with this repository: `make help`.
# The versions that the tests know, the oldest first.
KUBERNETES := $(shell sed -n 's/^\tk8s\.io\/kubernetes v\([0-9.]*\).*/\1/p' tests/controlplane/*/go.mod)
CARGO_DENY := target/tools/bin/cargo-deny
CARGO_FUZZ := target/tools/bin/cargo-fuzz
FUZZ_SECONDS ?= 60
# Most of the time the tests that drive a cluster wait for it.
export RUST_TEST_THREADS ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))

.PHONY: help build demo test test-all cluster-images cluster-up cluster-down e2e e2e-all lint audit bench schema docs golden crds manifests fuzz

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

build: ## Build the program
	cargo build --locked

demo: ## Send a real AdmissionReview through the webhook and show what comes back
	@cargo build --locked --bin pillion
	@cargo run --locked --quiet --example demo

test: ## Run all tests, those against a real API server on its newest version
	@if [ -z "$$KUBEBUILDER_ASSETS" ] && command -v go >/dev/null; then \
	  tests/tools/build.sh target && tests/controlplane/build.sh target $(lastword $(KUBERNETES)); fi
	@# As it is built without features.
	cargo test --locked --test it -- cli::serve
	cargo test --locked --workspace --all-features

test-all: test ## Run all tests, and those against a real API server on its oldest version too
	tests/controlplane/build.sh target $(firstword $(KUBERNETES))
	PILLION_TEST_KUBERNETES=$(firstword $(KUBERNETES)) cargo test --locked --all-features --test it -- apiserver:: chart::taken cluster:: events:: final_check:: validation::

cluster-images: ## Build the images that the tests on a real node need, and the node
	tests/cluster/build.sh target $(lastword $(KUBERNETES)) core

cluster-up: ## Start a real node, with all that it runs (needs root; see tests/cluster/README.md)
	tests/tools/build.sh target
	tests/cluster/build.sh target $(lastword $(KUBERNETES)) core
	flock --verbose --nonblock --close target/cluster.lock tests/cluster/up.sh target $(lastword $(KUBERNETES))
	@echo 'it runs: tests/cluster/in kubectl get pods --all-namespaces'

cluster-down: ## End that node
	flock --verbose --nonblock target/cluster.lock tests/cluster/down.sh target

e2e: ## Run the tests on a real node, started for them, or with USE_EXISTING_CLUSTER=true on your cluster
	tests/cluster/test.sh target $(lastword $(KUBERNETES)) core e2e::

e2e-all: ## As e2e, and all of the cookbook and the bad days
	tests/cluster/test.sh target $(lastword $(KUBERNETES)) all e2e:: e2e_all::
	@[ -z "$$UPDATE_DOCS" ] || $(MAKE) docs

lint: ## Check format and lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo check --locked --workspace
	@.ci/lines > /dev/null

audit: $(CARGO_DENY) ## Check what we depend on: licences, sources, bans, advisories
	$(CARGO_DENY) --locked check bans licenses sources
	@if $(CARGO_DENY) --locked fetch db 2>/dev/null; then $(CARGO_DENY) --locked check advisories; \
	  else echo 'advisories were not checked: their database could not be fetched'; fi

bench: ## Measure the engine, the server against a bare one, creating pods on a real API server, and life in a cluster
	cargo bench --locked -p pillion-engine
	benches/server.sh
	cargo bench --locked --bench apiserver
	cargo bench --locked --bench cluster

schema: ## Bring engine/src/schema.json up to the test API server's OpenAPI document
	UPDATE_SCHEMA=1 cargo test --locked --test it schema

fuzz: $(CARGO_FUZZ) ## Fuzz the engine, each target for FUZZ_SECONDS (60)
	engine/fuzz/run.sh $(FUZZ_SECONDS)

docs: ## Write docs/reasons.md, docs/rules.md, docs/cookbook.md and what console blocks show anew
	UPDATE_DOCS=1 TRYCMD=overwrite cargo test --locked --test it -- docs cookbook console

crds: ## Write the definitions of the custom resources into the chart, from the types in src/cluster/crd.rs
	UPDATE_CRDS=1 cargo test --locked --bin pillion crd
	$(MAKE) manifests

manifests: ## Write manifests/ anew, and what the chart copies, from charts/pillion
	UPDATE_MANIFESTS=1 cargo test --locked --test it chart::generated

golden: ## Write what the golden cases and the examples come out as; read the difference
	UPDATE_GOLDEN=1 cargo test --locked --test it golden

$(CARGO_DENY):
	cargo install --locked cargo-deny@0.20.2 --root target/tools

$(CARGO_FUZZ):
	cargo install --locked cargo-fuzz@0.13.2 --root target/tools
