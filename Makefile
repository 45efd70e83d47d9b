# The two commands of the README, and a few that save typing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/plenum

.PHONY: help run web test bench cluster cluster-down

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: web ## a meeting on http://localhost:7880: one server in dev mode
	cargo run --release --locked -- --dev

web: web/dist/index.html ## the meeting page, which the server embeds

web/dist/index.html: web/package-lock.json web/.npmrc $(shell find web/src web/public web/*.html web/vite.config.ts 2>/dev/null)
	@command -v npm >/dev/null || { echo "make: Node.js 20 or newer with npm is needed for the page" >&2; exit 1; }
	cd web && npm ci --no-audit --no-fund --ignore-scripts && npm run build

test: ## installs what the tests need, runs every stage
	@command -v python3 >/dev/null || { echo "make: Python 3.11 or newer is needed for the tests" >&2; exit 1; }
	python3 tests/run

bench: ## figures of the pure crates, and of the engine with real sockets
	cargo bench --profile release --locked -p plenum-media --bench forward
	cargo bench --profile release --locked -p plenum-engine --bench sockets
	cargo bench --profile release --locked -p plenum-negotiation --bench answer

cluster: ## a Kubernetes node with the chart and a sample room; prints a join link
	tests/k8s/cluster up

cluster-down: ## ends it
	tests/k8s/cluster down
