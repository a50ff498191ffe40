#!/usr/bin/env bash
# Has datacontract-cli lint contracts of all objects, in every form, and test contracts against the topics of a tenant that changes: contracts.sh COUPASTREAM
# It wants Python 3.10 or newer with venv. The libraries stay in a folder of their own in E2E_CACHE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "contracts.sh: $*" >&2; exit 2; }
program=${1:-}
[ -x "$program" ] || fail "give the program: contracts.sh bin/coupastream"
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
venv=$cache/contracts-$(cksum <"$here/contracts/requirements.txt" | cut -d' ' -f1)
mkdir -p "$cache"
if [ ! -e "$venv/ready" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv" || fail "python3 has no venv (Debian: apt-get install python3-venv)"
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/contracts/requirements.txt" >&2
  touch "$venv/ready"
fi
check() { "$venv/bin/python" "$here/contracts/check.py" "$@"; }
work=$(mktemp -d)
dev=
trap '[ -z "$dev" ] || kill "$dev" 2>/dev/null; rm -rf "$work"' EXIT

cat >"$work/worker.yaml" <<EOF
bootstrap.servers: localhost:9092
schema.registry.url: http://localhost:8081
topic.creation.default.cleanup.policy: compact
EOF
objects=$("$program" objects -o json | python3 -c 'import json, sys; print(",".join(o["path"] for o in json.load(sys.stdin)))')
# form NAME [KEY: VALUE]…: the contract of a connector of all objects, with these keys
form() {
  local name=$1; shift
  printf '%s\n' 'name: acme' 'coupa.url: https://acme.coupahost.com' 'coupa.client.id: id' 'coupa.client.secret: secret' "coupa.objects: $objects" "$@" >"$work/$name.connector.yaml"
  "$program" contract "$work/$name.connector.yaml" --worker "$work/worker.yaml" >"$work/$name.yaml"
}
form plain 'freshness.objective.ms: 60000'
form lines 'lines: topics' 'unmapped: json' 'decimal.handling.mode: double'
form enveloped 'envelope: debezium' 'value.format: jsonschema' 'lines: both'
check lint "$work"/{plain,lines,enveloped}.yaml

# The tool reads values that are JSON; of Avro it knows no record by its name.
"$program" dev --quiet --rows 60 --changes-per-second 5 --value-format json >"$work/dev.log" 2>&1 &
dev=$!
for _ in $(seq 60); do
  grep -q 'changes published' "$work/dev.log" && break
  sleep 1
done
at=$(sed -nE 's|^REST +(http://[^/]+)/.*|\1|p' "$work/dev.log")
[ -n "$at" ] || { cat "$work/dev.log" >&2; fail "the worker did not start"; }
export COUPASTREAM_URL=$at
for object in invoices purchase_orders suppliers; do
  "$program" contract dev "$object" >"$work/dev-$object.yaml"
done
check test "$work"/dev-*.yaml
