# Every target works from a clean clone with Go alone, except e2e, crash, power and bench, which need a JDK 17,
# a Java 21 or newer (the registry) and Maven, ui-test, which needs Chromium, Node and npm, and those
# that say what they need.
GO ?= go
BIN := bin/coupastream
FUZZTIME ?= 20s
# go test, which tries once more what failed, and names it flaky if that helps
AGAIN := GO=$(GO) .ci/again

.PHONY: help build test race histories guards lint vet-windows vulncheck fuzz api-fuzz agents bench e2e crash power classes contracts lineage sinks nightly ui-test generate deploy-check manifests snapshot release

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

build: ## build bin/coupastream
	$(GO) build -o $(BIN) ./cmd/coupastream

test: ## all tests that need nothing but Go
	$(AGAIN) -timeout 20m -- ./...
	$(AGAIN) -tags failpoints -run TenSteps -- ./connector/

# SHORT= runs all of them, which takes half an hour. Of schemas and checkpoint, whose property tests have one
# goroutine, what is shared is tried; coupatest's have one, too, and what it shares connector's tests use.
race: SHORT ?= -short
race: ## the same under the race detector, but for tests that are long there (SHORT=)
	CGO_ENABLED=1 $(AGAIN) -race $(SHORT) -timeout 60m -- $$($(GO) list ./... | grep -v '/schemas\|/coupatest\|/checkpoint$$')
	CGO_ENABLED=1 $(AGAIN) -race -run 'Registr|Shared|AtOnce|Cache|ReadsBeside|PassesOver' -- ./schemas ./checkpoint

# Tests that draw what they do read HISTORIES, and draw a few where it is not set.
histories: ## tests of random histories, each from N seeds (1000) in place of a few
	HISTORIES=$(or $(N),1000) $(GO) test -count=1 -timeout 6h \
		$$(grep -rl --include='*_test.go' '"HISTORIES"' . | xargs -rn1 dirname | sort -u)

# GUARDS= takes some of them, by the names of their patches.
guards: ## each guard of the core is taken away, alone, and a test has to fail (GUARDS=)
	$(GO) run ./connector/internal/guards $(GUARDS)

lint: ## gofmt, vet, staticcheck, and whether generated files are fresh
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e,failpoints ./...
	$(GO) tool staticcheck -checks inherit,-ST1005 -tags e2e,failpoints ./... # errors may begin with a name: Coupa, Kafka
	$(GO) mod verify

vet-windows: ## vet for Windows: releases are for it, too, and Unix has more than it has
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...

vulncheck: ## known vulnerabilities in what is linked (needs the network)
	$(GO) tool govulncheck ./...

fuzz: ## every fuzz target for FUZZTIME (20s)
	@for f in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+).*/\1/p' $$f); do \
			echo "== $$t in $$(dirname $$f)"; \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$(dirname $$f) || exit 1; \
		done; done

api-fuzz: build ## the REST API against its OpenAPI description, with schemathesis from PyPI (EXAMPLES=50)
	connector/rest/fuzz/run.sh $(BIN) .e2e/api-fuzz $(EXAMPLES)

agents: build ## agents' ways in: the mcp client of PyPI, and MCP's conformance suite of npm
	connector/rest/agents/clients/run.sh $(BIN) .e2e/agents

bench: SHELL := bash
bench: .SHELLFLAGS := -o pipefail -c
bench: ## benchmarks of the hot path, of simulated days, and of the built program on real parts (as e2e); writes connector/FIGURES.md
	@mkdir -p .e2e && >.e2e/bench.txt
	$(GO) test -run '^$$' -bench . -benchmem ./coupa/ ./schemas/ ./connector/record/ ./checkpoint/ | tee -a .e2e/bench.txt
	FIGURES=1 $(GO) test -run Figures -count 1 -v ./connector/ | tee -a .e2e/bench.txt
	$(GO) test -tags e2e -run '^$$' -bench Real -benchtime 1x -timeout 60m ./connector/internal/e2e/ | tee -a .e2e/bench.txt
	@rig=$$(mktemp -d); kafka=connector/internal/e2e/kafka.sh; trap "$$kafka down $$rig; rm -rf $$rig" EXIT; \
		at=$$($$kafka up $$rig) || exit 1; at=$${at#KAFKA=}; \
		E2E_BOOTSTRAP=$${at%% *} $(GO) test -tags e2e -run '^$$' -bench Real -benchtime 1x -count 3 -timeout 20m ./connector/shard/
	$(GO) run ./connector/internal/figures <.e2e/bench.txt >.e2e/FIGURES.md && mv .e2e/FIGURES.md connector/FIGURES.md

# SHORT= plays what can wait for the night, too: e2e/doc.go says which scenes. One needs nginx, or apt-get
# to fetch it with.
e2e: SHORT ?= -short
e2e: ## the built program against Apache Kafka and Apicurio Registry, judged by Java clients (SHORT=)
	$(GO) test -tags e2e $(SHORT) -skip 'TestCrash|TestSinks' -count=1 -v -parallel 5 -timeout 30m ./connector/internal/e2e/

# N incidents (60) drawn from SEED (a new one, printed); SCENE plays one scene alone; PROOF is where the
# table goes. What failed is kept in .e2e/crash, with logs and state. With RIG=3 there are three brokers (and
# .e2e/crash3); KAFKA is their version (rig.xml's).
crash: export E2E_INCIDENTS = $(or $(N),60)
crash: export E2E_SEED = $(SEED)
crash: export E2E_SCENE = $(SCENE)
crash: export E2E_BROKERS = $(RIG)
crash: export E2E_KAFKA = $(KAFKA)
crash: export E2E_WORK = $(CURDIR)/.e2e/crash$(RIG)
crash: export E2E_PROOF = $(abspath $(or $(PROOF),.e2e/proof$(RIG).md))
crash: ## kill, stop and starve workers and the parts around them at random (N=60 SEED= SCENE= PROOF= RIG=3 KAFKA=), judged as e2e
	-umount $(E2E_WORK)/*/worker-*-state 2>/dev/null # small disks of a run that was killed
	rm -rf $(E2E_WORK)
	mkdir -p $(dir $(E2E_PROOF))
	$(GO) test -tags e2e -run TestCrash -count=1 -v -timeout 90m ./connector/internal/e2e/

# CUTS of the store's disk (1000), then E2E_CUTS (40) of a worker's, drawn from SEED. The disk is a file system
# in user space, which needs Linux, root and /dev/fuse: elsewhere nothing is cut, and that is said.
power: export CUTS := $(or $(CUTS),1000)
power: export E2E_SEED = $(SEED)
power: ## cut the power of state.dir, on a disk that forgets what was not synced (CUTS=1000 E2E_CUTS=40 SEED=)
	@[ "$$(id -u)" = 0 ] && [ -w /dev/fuse ] || { echo 'skipped: needs root and /dev/fuse'; exit 0; }; \
	$(GO) build -C checkpoint/internal/forgetful -o $(CURDIR)/bin/forgetful . && \
	bin/forgetful $(GO) test -p 1 -run '^TestPower$$' -count=1 -v -timeout 2h ./checkpoint/ ./schemas/registry/ && \
	bin/forgetful $(GO) test -tags e2e -run '^TestPower$$' -count=1 -v -timeout 1h ./connector/internal/e2e/

classes: build ## Java classes of all schemas, by Avro's Maven plugin (a JDK 17, mvn)
	connector/internal/e2e/classes.sh $(BIN)

contracts: build ## data contracts of all objects, linted and tested by datacontract-cli from PyPI (Python 3 with venv)
	connector/internal/e2e/contracts.sh $(BIN)

lineage: ## OpenLineage events, read by openlineage-python from PyPI (Python 3 with venv)
	connector/internal/e2e/lineage.sh

# SINKS are those to try, by comma (all, which takes a quarter of an hour, and longer the first time). What came of them goes to the table in deploy/sinks/README.md.
sinks: export E2E_SINKS = $(SINKS)
sinks: export E2E_SINKS_TABLE = $(CURDIR)/deploy/sinks/README.md
sinks: $(if $(SINKS),,contracts) ## data platforms and programs that read the topics, against what the tenant has, and contracts (SINKS=; as e2e, and PostgreSQL)
	$(GO) test -tags e2e -run TestSinks -count=1 -v -timeout 120m ./connector/internal/e2e/

# What a change need not wait for: it is long, or needs the network and tools of its own. All of them run,
# whichever fails.
nightly: ## what .ci/run leaves out: vet for Windows, all scenes, cuts of power, long histories, guards, fuzzing, deploy-check, api-fuzz, agents, classes, contracts, lineage, sinks
	@failed=; \
	for target in vet-windows deploy-check api-fuzz agents classes lineage sinks fuzz guards 'histories N=1000' 'race SHORT=' 'e2e SHORT=' 'crash N=200' 'crash RIG=3 N=200' power; do \
		printf '\n=== make %s (%s)\n' "$$target" "$$(date -u +%H:%M:%S)"; \
		$(MAKE) $$target || failed="$$failed; $$target"; \
	done; \
	[ -z "$$failed" ] || { echo "failed$$failed"; exit 1; }

# CHROMIUM is the browser; UI_SHOTS is a folder for pictures of the page, to be looked at: status-page.png is that of README.
ui-test: export CHROMIUM ?= /usr/bin/chromium
ui-test: export UI_SHOTS := $(if $(UI_SHOTS),$(abspath $(UI_SHOTS)))
ui-test: export UI_FIXTURE := $(CURDIR)/bin/ui-fixture
ui-test: export UI_PROGRAM := $(CURDIR)/$(BIN)
ui-test: build ## the status page in a real browser
	$(GO) build -o $(UI_FIXTURE) ./connector/rest/ui/internal/fixture
	cd connector/rest/ui/browser && npm ci --ignore-scripts --no-audit --no-fund && node --test

generate: ## make the Avro schemas, the table of objects and the configuration reference again
	$(GO) generate ./...

deploy-check: ## chart, manifests, compose, image, alerts and unit, by their own tools (needs the network, systemd-analyze, promtool, Python 3 with venv)
	deploy/check/check.sh

manifests: ## write deploy/kubernetes/coupastream.yaml anew from the chart
	cd deploy/check && $(GO) test -run Plain . -update

GORELEASER := $(GO) run github.com/goreleaser/goreleaser/v2@v2.15.1

snapshot: ## a release into dist/, of what is checked out, without publishing it or making images
	$(GORELEASER) release --snapshot --clean --skip=docker

release: ## publish the tag that is checked out (needs Docker's buildx and GITHUB_TOKEN)
	$(GORELEASER) release --clean
