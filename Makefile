# Every target works from a clean clone with Go alone, except e2e and bench, which need a JDK 17,
# a Java 21 or newer (the registry) and Maven.
GO ?= go
BIN := bin/coupastream
FUZZTIME ?= 20s

.PHONY: help build test race lint vulncheck fuzz bench e2e generate

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

build: ## build bin/coupastream
	$(GO) build -trimpath -o $(BIN) ./cmd/coupastream

test: ## all tests that need nothing but Go
	$(GO) test ./...

race: ## the same under the race detector
	CGO_ENABLED=1 $(GO) test -race ./...

lint: ## gofmt, vet, staticcheck, and whether generated files are fresh
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e ./connector/internal/e2e/...
	$(GO) tool staticcheck -checks inherit,-ST1005 -tags e2e ./... # errors may begin with a name: Coupa, Kafka
	$(GO) mod verify

vulncheck: ## known vulnerabilities in what is linked (needs the network)
	$(GO) tool govulncheck ./...

fuzz: ## every fuzz target for FUZZTIME (20s)
	@for f in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+).*/\1/p' $$f); do \
			echo "== $$t in $$(dirname $$f)"; \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$(dirname $$f) || exit 1; \
		done; done

bench: ## benchmarks of the hot path, then of the built program on real parts (as e2e)
	$(GO) test -run '^$$' -bench . -benchmem ./coupa/ ./schemas/ ./checkpoint/
	$(GO) test -tags e2e -run '^$$' -bench Real -benchtime 1x -timeout 40m ./connector/internal/e2e/

# A change of lines alone moves no header's updated-at and is published with the header's next change: told, not a fault.
e2e: export E2E_ALLOW ?= stale_lines
e2e: ## the built program against Apache Kafka and Apicurio Registry, judged by Java clients
	$(GO) test -tags e2e -count=1 -v -timeout 30m ./connector/internal/e2e/

generate: ## make the Avro schemas and the configuration reference again
	$(GO) generate ./...
