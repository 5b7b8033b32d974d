# Two commands on a fresh Debian 12 with Rust: `make demo` and `make test`.
CARGO ?= cargo

.PHONY: help demo test bench soak lint fuzz docs clean

help:
	@echo 'make demo    run the example configurations in a lab of network namespaces (root)'
	@echo 'make test    all tests; those that need namespaces run as root, else they say why not'
	@echo 'make bench   performance as ratios against peers, saved in out/bench/*.json (root)'
	@echo 'make soak    50,000 new flows per second for EVENKEEL_SOAK_MINUTES (10), audited (root)'
	@echo 'make lint    rustfmt and clippy'
	@echo 'make fuzz    every fuzz target for a minute (FUZZ_SECONDS), with cargo-fuzz and a nightly'
	@echo 'make docs    regenerate docs/reference from the keyword tables'

demo:
	@scripts/setup demo
	$(CARGO) build --quiet -p evenkeel
	@scripts/demo

test:
	@scripts/setup test
	$(CARGO) test --workspace --no-fail-fast

bench:
	@scripts/setup test
	$(CARGO) bench -p director --bench packet
	$(CARGO) bench -p director --bench wire
	$(CARGO) bench -p evenkeel --bench http
	$(CARGO) bench -p evenkeel --bench vrrp
	$(CARGO) bench -p evenkeel --bench checks

soak:
	@scripts/setup test
	$(CARGO) bench -p evenkeel --bench soak

lint:
	@scripts/setup build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fuzz:
	@scripts/fuzz

docs:
	@scripts/setup build
	$(CARGO) run --quiet -p evenkeel -- reference --output docs/reference

clean:
	$(CARGO) clean
	rm -rf out
