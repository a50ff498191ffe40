#!/bin/sh
# Has schemathesis send to a worker what the OpenAPI description allows and what it does not: no failure of the server, no answer that is not described, none that takes
# ten seconds, no growth of the process. The worker is `coupastream dev` with a connector made over REST beside its own.
#
#	run.sh PROGRAM FOLDER [EXAMPLES]
#
# PROGRAM is the built coupastream, FOLDER keeps schemathesis and the logs, EXAMPLES is how many requests are made up per operation and phase (50).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "$1")
mkdir -p "$2"
cd "$2"
examples=${3:-50}
[ -x venv/bin/schemathesis ] || { python3 -m venv venv && venv/bin/pip install -q -r "$here/requirements.txt"; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
at=http://127.0.0.1:$port
COUPA_CLIENT_SECRET=dev "$program" dev --quiet --rest-port "$port" --kafka-port 0 --registry-port 0 --coupa-port 0 >worker.out 2>worker.log &
worker=$!
trap 'kill $worker 2>/dev/null; wait $worker 2>/dev/null || true' EXIT
for _ in $(seq 100); do
	curl -fs -o ready.txt "$at/readyz" && break
	kill -0 $worker # it ended: worker.log says why
	sleep 0.2
done
coupa=$(sed -n 's/^Coupa  *\([^ ]*\).*/\1/p' worker.out)
curl -fsS -o made.json -H 'Content-Type: application/json' "$at/connectors" -d '{"name": "acme", "initial_state": "STOPPED", "config": {"connector.class": "CoupaSource",
	"tenant": "acme", "coupa.url": "'"$coupa"'", "coupa.client.id": "dev", "coupa.client.secret": "${env:COUPA_CLIENT_SECRET}", "coupa.objects": "invoices, suppliers",
	"topic.template": "acme.${object}"}}'

memory() { curl -fsS "$at/metrics" | awk '$1 == "process_resident_memory_bytes" { printf "%d\n", $2 / 1048576 }'; }
before=$(memory)
for config in any-name known-name; do
	echo "== $config"
	venv/bin/schemathesis --config-file "$here/$config.toml" run "$at/openapi.json" --no-color --max-examples "$examples" --max-response-time 10 \
		-c not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method
done
curl -fsS "$at/health"
echo
after=$(memory)
echo "memory: $before MiB before, $after MiB after"
[ "$after" -lt $((before + 200)) ] || { echo "the worker has grown"; exit 1; }
