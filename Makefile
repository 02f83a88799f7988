# Tasktrail: what there is to do with this repository. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin/tasktrail
# DEMO=0 leaves out the demonstration tasks of `make run`.
DEMO    ?= 1
DATA    ?= ./data
# The modules of this repository: runners and examples have their own, so that
# their libraries never reach the product's go.mod.
MODULES := $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/node_modules/*' -not -path './tools/*' -not -path './bench/*' -not -path './deploy/helm/*' -not -path './deploy/check/*' | sort))
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

ENGINE  := deploy/embedded/node_modules/.package-lock.json

.PHONY: help check-helm check-deploy run build engine ui test test-go test-ui lint fuzz bench bench-built bench-agent bench-ingest bench-query fill chaos soak vuln deps-test deps-run clean generate

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: deps-run engine build ## Start everything on this machine, with a demonstration beside it (DEMO=0 without)
	@TASKTRAIL_DATA_DIR=$(DATA) DEMO=$(DEMO) ./deploy/run.sh

build: ui ## Build bin/tasktrail, with the live UI in it
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/tasktrail

engine: $(ENGINE) ## Install the pinned ClickHouse engine library (npm)

$(ENGINE): deploy/embedded/package-lock.json
	@command -v npm >/dev/null || { echo "make: npm is missing: install Node.js 20 or newer with npm, then run make again" >&2; exit 1; }
	npm ci --prefix deploy/embedded --no-audit --no-fund

UI_SOURCES := $(shell find dashboards/web/src dashboards/web/public dashboards/web/index.html dashboards/web/vite.config.ts -type f 2>/dev/null)

ui: dashboards/web/dist/index.html ## Build the live UI (npm)

dashboards/web/node_modules/.package-lock.json: dashboards/web/package-lock.json
	@command -v npm >/dev/null || { echo "make: npm is missing: install Node.js 20 or newer with npm, then run make again" >&2; exit 1; }
	npm ci --prefix dashboards/web --no-audit --no-fund

dashboards/web/dist/index.html: dashboards/web/node_modules/.package-lock.json $(UI_SOURCES)
	npm run --prefix dashboards/web build
	@touch $@

deps-run:
	@command -v $(GO) >/dev/null || { echo "make: go is missing: install Go 1.26 or newer (https://go.dev/dl)" >&2; exit 1; }

# Tests run against real servers. Where this is Debian and we may, we install
# them; elsewhere the message says what to install.
deps-test: deps-run
	@./deploy/install-test-deps.sh

examples/bullmq/node_modules/.package-lock.json: examples/bullmq/package-lock.json
	npm ci --prefix examples/bullmq --ignore-scripts --no-audit --no-fund

test: deps-test engine build examples/bullmq/node_modules/.package-lock.json test-go ## Run every test, with the race detector, against the real engine and a real Redis

test-go:
	@for m in $(MODULES); do \
	  echo "== $$m"; (cd $$m && $(GO) test -race -timeout 15m ./...) || exit 1; \
	done
	$(GO) test -run Allocates ./agent # the race detector allocates by itself
	cd bench && $(GO) test -bench . -benchtime 1x ./agent ./spool ./report # one iteration, so that they cannot rot

test-ui: deps-run engine build ## Test the live UI: components, and every page in a real browser
	@./deploy/install-test-deps.sh chromium
	cd dashboards/web && npm run generate:check && npm test && npm run test:browser && TASKTRAIL=$(abspath $(BIN)) npm run test:real

check-helm: ## Render, lint and decode the Helm chart with Helm's and Kubernetes' own code
	cd deploy/helm/check && $(GO) test -count=1 ./...

check-deploy: ## Hold compose.yaml and the Dockerfile against Compose's and BuildKit's own code
	cd deploy/check && $(GO) test -count=1 ./...

lint: ## Run the linters of .golangci.yaml over every module
	@mkdir -p bin
	@test -x bin/golangci-lint || (cd tools && $(GO) build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
	@for m in $(MODULES); do echo "== lint $$m"; (cd $$m && $(CURDIR)/bin/golangci-lint run --config $(CURDIR)/.golangci.yaml ./...) || exit 1; done

generate: ## Write again what is generated: the codec's fields, docs/events.md, docs/api.md, the dashboards, the UI's API types
	$(GO) run ./timeline/wire/gen
	$(GO) run ./dashboards/grafana/gen
	$(GO) test ./query -run TestAPIDocIsCurrent -count=1 -update
	npm run --prefix dashboards/web generate

FUZZTIME ?= 60s
fuzz: ## Fuzz everything that reads bytes from outside, FUZZTIME each
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; done

ROUNDS   ?= 20
SEED     ?= 0
DURATION ?= 6s
chaos: deps-test engine ## Kill, stop and cut everything at random, ROUNDS times from SEED (0: the clock's), and hold the books against a model
	$(GO) test ./chaos -run 'Chaos' -count 1 -v -timeout 12h -leases -clocks -rounds $(ROUNDS) -seed $(SEED) -duration $(DURATION)

SOAK ?= 1h
soak: engine ## Run for SOAK at a steady and a bursty rate; memory, goroutines, files, disk and parts must stay flat
	$(GO) test ./chaos -run 'Soak' -count 1 -v -timeout 24h -soak $(SOAK)

vuln: ## Look for known vulnerabilities in what every module calls (needs vuln.go.dev)
	@mkdir -p bin
	@test -x bin/govulncheck || (cd tools && $(GO) build -o ../bin/govulncheck golang.org/x/vuln/cmd/govulncheck)
	@for m in $(MODULES); do echo "== vuln $$m"; (cd $$m && $(CURDIR)/bin/govulncheck ./...) || { \
	  s=$$?; test $$s -eq 3 && echo "make: vulnerabilities were found, see above" >&2 || \
	  echo "make: govulncheck could not run to its end (is https://vuln.go.dev reachable?): nothing was checked" >&2; exit $$s; }; done

COUNT ?= 5
bench-agent: ## Measure the agent's hot path beside its peers (docs/performance.md)
	cd bench && $(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./agent/...
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./agent/... ./internal/spool/...

bench-built: engine
	@mkdir -p bin
	cd bench/ingest/otelcol && $(GO) build -o $(CURDIR)/bin/bench-otelcol .
	cd bench && $(GO) build -o $(CURDIR)/bin/bench-ingest ./ingest
	cd bench && $(GO) build -o $(CURDIR)/bin/bench-report ./report

PROFILE ?=
bench: bench-built ## Measure everything beside its peers in one run: a table in docs/performance.md, bin/bench.json; PROFILE=dir for profiles
	@mkdir -p $(or $(PROFILE),bin)
	cd bench && $(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) -benchtime 20000x $(if $(PROFILE),-cpuprofile $(abspath $(PROFILE))/agent.prof -o $(abspath $(PROFILE))/agent.test) ./agent | tee $(CURDIR)/bin/bench.txt
	cd bench && $(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) -benchtime 20000x $(if $(PROFILE),-cpuprofile $(abspath $(PROFILE))/spool.prof -o $(abspath $(PROFILE))/spool.test) ./spool | tee -a $(CURDIR)/bin/bench.txt
	bin/bench-ingest -otelcol bin/bench-otelcol -only decode,engine,ours,memory,fsync -results bin/bench-ingest.txt $(if $(PROFILE),-pprof $(PROFILE)/collector.prof) $(INGEST)
	cat bin/bench.txt bin/bench-ingest.txt | bin/bench-report -json bin/bench.json -doc docs/performance.md

BENCH_EVENTS ?= 1000000
bench-query: engine ## Measure the API over HTTP and its streams, with BENCH_EVENTS events, or those of TASKTRAIL_BENCH_DATA (make fill)
	BENCH_EVENTS=$(BENCH_EVENTS) $(GO) test -run '^$$' -bench 'Query|Stream' -benchtime 1x -timeout 60m ./app

EVENTS ?= 1000000
fill: engine ## Fill the data directory DATA with EVENTS events over a week, to measure on; what is filled is kept and freshened
	@mkdir -p bin
	cd bench && $(GO) build -o $(CURDIR)/bin/bench-fill ./fill
	bin/bench-fill -data $(DATA) -events $(EVENTS)

bench-ui: ui ## Measure the live UI in a real browser: start, a long history, a busy system (docs/performance.md)
	cd dashboards/web && node browser/bench.mjs

INGEST ?=
bench-ingest: bench-built ## Measure the way into ClickHouse beside the OpenTelemetry Collector; INGEST='-backlog 10000000000' for more
	bin/bench-ingest -otelcol bin/bench-otelcol $(INGEST)

clean: ## Remove what was built
	rm -rf bin
