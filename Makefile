# Quench. `make help` lists what there is; README.md tells more.
# Needs a Rust toolchain, make, and Python 3 with pip on Debian 12; everything else is fetched into one folder.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Pinned tools (helm, nats-server, …). Nothing global is touched.
export QUENCH_TOOLS ?= $(HOME)/.cache/quench/tools
export PATH := $(QUENCH_TOOLS)/bin:$(PATH)

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# What the demo leaves behind, and where its image is kept between runs.
DEMO ?= $(CURDIR)/.quench/demo
DEMO_IMAGE ?= $(HOME)/.cache/quench/demo/nginx
# A folder of charts nobody here wrote, which of them to take, and where results over them go.
CHARTS ?= $(QUENCH_CHARTS)
CHOICE = $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(ONLY),--only $(ONLY))
# A policy, or one that decides for every fix, and a target that charts of a corpus are hardened with.
GIVEN = $(if $(POLICY),--policy $(POLICY)) $(if $(DECIDED),--decided) $(if $(CLUSTER),--target $(CLUSTER))
CORPUS ?= $(CURDIR)/.quench/corpus

.PHONY: help demo test fleet tools fmt fmt-check lint deny deny-advisories unit large bench charts corpus recall checkov image clean-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## harden the demo chart and its image; needs no root and no Docker
	@$(PYTHON) deploy/tools/install.py helm
	@DEMO="$(DEMO)" DEMO_IMAGE="$(DEMO_IMAGE)" TARGET="$(TARGET)" CARGO="$(CARGO)" PYTHON="$(PYTHON)" deploy/demo/run.sh

test: tools fmt-check lint unit ## everything a pull request must pass

fleet: ## nats-server, a registry and the six services as processes; Ctrl-C stops all
	@$(PYTHON) deploy/tools/install.py nats-server docker-registry helm
	$(CARGO) build --release --locked --workspace --bins
	@TARGET="$(TARGET)" $(PYTHON) deploy/fleet/up.py

tools: ## install the pinned tools (see deploy/tools/install.py --list)
	@$(PYTHON) deploy/tools/install.py

fmt: ## format the code
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

lint: deny ## clippy with warnings denied, and the rules for dependencies
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny:
	@$(PYTHON) deploy/tools/install.py cargo-deny
	$(CARGO) deny --log-level error --locked check bans licenses sources

deny-advisories: ## known vulnerabilities of dependencies; fetches the RustSec database
	@$(PYTHON) deploy/tools/install.py cargo-deny
	$(CARGO) deny --locked check advisories

unit: image ## all tests (the tools must be there: make tools)
	$(CARGO) build --workspace --bins --locked
	QUENCH_REQUIRE_TOOLS=1 QUENCH_DEMO_IMAGE="$(DEMO_IMAGE)" QUENCH_BINARIES="$(TARGET)/debug" $(CARGO) test --workspace --locked --no-fail-fast

image: ## build the demo image as an OCI layout
	@$(PYTHON) deploy/demo/build-image.py deploy/demo/images/nginx.toml -o "$(DEMO_IMAGE)"

large: ## pass an image of 4 GB through ingest, export and import in less than 256 MB of memory; moves 16 GB, so `make test` leaves it out
	$(CARGO) build --release --locked --package quench-cli
	QUENCH_REQUIRE_TOOLS=1 QUENCH_BINARIES="$(TARGET)/release" $(CARGO) test --release --locked --package quench-it --test it large:: -- --ignored --nocapture

bench: ## measure; prints tables, fails only on wrong results [CHARTS=folder] [SAMPLE=n]
	QUENCH_CHARTS="$(CHARTS)" QUENCH_SAMPLE="$(SAMPLE)" $(CARGO) bench --workspace --locked

charts: ## make a folder of charts with their dependencies out of git repositories: make charts REPOSITORIES="a.git b.git" [ALSO=c.git] CHARTS=folder
	@test -n "$(REPOSITORIES)" -a -n "$(CHARTS)" || { echo "charts: set REPOSITORIES to git repositories of charts, and CHARTS to a folder to make" >&2; exit 2; }
	@$(PYTHON) tests/corpus/vendor.py $(REPOSITORIES) $(addprefix --also ,$(ALSO)) -o "$(CHARTS)"

corpus: ## prove every chart of a folder: make corpus CHARTS=folder [SAMPLE=n] [ONLY=a,b] [SETS=n] [POLICY=file | DECIDED=1] [CLUSTER=target file]; goes on where it was stopped
	@test -d "$(CHARTS)" || { echo "corpus: set CHARTS to a folder of charts" >&2; exit 2; }
	@$(PYTHON) deploy/tools/install.py helm helm3
	$(CARGO) run --quiet --locked --package quench-corpus -- prove "$(CHARTS)" $(CHOICE) $(GIVEN) $(if $(SETS),--sets $(SETS)) \
		--journal "$(CORPUS)/journal.jsonl" --report "$(CORPUS)/report.md"

recall: ## compare the images found with those of one render per boolean: make recall CHARTS=folder [SAMPLE=n] [ONLY=a,b]; goes on where it was stopped
	@test -d "$(CHARTS)" || { echo "recall: set CHARTS to a folder of charts" >&2; exit 2; }
	@$(PYTHON) deploy/tools/install.py helm
	$(CARGO) run --quiet --locked --package quench-corpus -- recall "$(CHARTS)" $(CHOICE) \
		--journal "$(or $(QUENCH_CHARTS_JOURNAL),$(CORPUS)/recall.jsonl)"

checkov: ## what checkov finds before and after: make checkov CHARTS=folder [SAMPLE=n] [ONLY=a,b] [POLICY=file | DECIDED=1] [CLUSTER=target file]
	@test -d "$(CHARTS)" || { echo "checkov: set CHARTS to a folder of charts" >&2; exit 2; }
	@$(PYTHON) deploy/tools/install.py helm checkov
	$(CARGO) run --quiet --locked --package quench-corpus -- checkov "$(CHARTS)" $(CHOICE) $(GIVEN) --manifests "$(CORPUS)/manifests"

clean-demo: ## remove what the demo left behind
	rm -rf "$(DEMO)"
