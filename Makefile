# What can be done here; `make help` lists it.

# The release build of the daemon, with its client: what can be built without any library.
KOZO := target/release/kozo

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: testnet
testnet: $(KOZO) ## Build the daemon and run three Nodes on this machine, until Ctrl-C.
	$(KOZO) testnet

.PHONY: build
build: ## Build the programs, as they are installed.
	packaging/build

.PHONY: $(KOZO)
$(KOZO):
	packaging/build --workspace --exclude kozo-bench --bin kozo --bin kozoctl

# The man pages and the completions of shells, each where it is installed below /usr/share.
PAGES := target/pages

.PHONY: pages
pages: $(KOZO) ## Write man pages and completions below target/pages.
	packaging/pages target/release/kozoctl $(PAGES)

.PHONY: packages
packages: ## Build the Debian packages, and the apt repository of them in target/apt.
	packaging/packages

.PHONY: packages-all
packages-all: ## The same for amd64, arm64 and armhf in target/all/apt, on amd64 (as root).
	packaging/packages-all
	tests/packages-all

.PHONY: test
test: ## Install what the tests need, and run all of them.
	tests/run

.PHONY: lab
lab: packages ## Boot Debian machines and try the service and the packages in them (as root).
	tests/lab/run
	tests/lab/mesh/run
	tests/lab/vm/run

# How long it goes on, and what begins its sequence of faults; it prints what it chose.
SOAK_MINUTES ?= 60
SOAK_SEED ?=

.PHONY: soak
soak: packages ## Three machines under traffic and random faults for SOAK_MINUTES (default 60).
	tests/lab/mesh/soak $(SOAK_MINUTES) $(SOAK_SEED)

.PHONY: check
check: ## Formatting and lints only.
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo check --locked --manifest-path fuzz/Cargo.toml

.PHONY: unit
unit: ## Tests only, without the slow rest.
	cargo nextest run --locked --workspace

.PHONY: hostile
hostile: $(KOZO) ## Attack the programs with clients that we did not write.
	tests/hostile/run

.PHONY: kozo-bench
kozo-bench: ## Build target/release/kozo-bench, which tests/bench/compare and peers/run.py measure.
	packaging/build --package kozo-bench

.PHONY: bench
bench: ## Measure single steps, and compare with the run before; then a mesh, and a link with a long delay.
	cargo bench --locked -p kozo --bench micro
	cargo bench --locked -p kozo --bench mesh
	cargo bench --locked -p kozo-bench --bench delay

.PHONY: fuzz
fuzz: ## Fuzz each target for SECONDS_EACH (default 60) seconds.
	tests/fuzz $(or $(SECONDS_EACH),60)

.PHONY: snapshots
snapshots: ## Write all snapshots, the introspection in dbus/ and the tables of options anew, to be looked at with git diff.
	INSTA_UPDATE=always cargo nextest run --locked --workspace \
		-E 'binary(config_corpus) + binary(config_edit) + binary(bus) + binary(kozoctl) + (binary(documents) & test(options))'

.PHONY: clean
clean: ## Remove what was built.
	cargo clean
