#!/usr/bin/env bash
# Has a Kafka Connect client that is not ours make its round against two workers: rounds.sh CLIENT A B NAME CONFIG (a JSON object). Without arguments it only
# installs the clients, in E2E_CACHE. Clients: kafka-connect-py and kafka-connect-api (Python), cloudhut and go-kafka (Go), kafka-connect-client (Node.js), sourcelab (Java), and
# DataHub's ingestion (datahub, Python), which is large and is installed when it is asked for.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
rounds=$cache/rounds-$(cat "$here"/rounds/{go,node,python}/* | cksum | cut -d' ' -f1)
fail() { echo "rounds.sh: $*" >&2; exit 2; }
mkdir -p "$cache"
if [ ! -d "$rounds" ]; then
  for tool in python3 npm go; do command -v $tool >/dev/null || fail "$tool is not installed"; done
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  python3 -m venv "$fresh/python" || fail "python3 has no venv (Debian: apt-get install python3-venv)"
  "$fresh/python/bin/pip" install -q --disable-pip-version-check -r "$here/rounds/python/requirements.txt" >&2
  mkdir "$fresh/node"
  cp "$here/rounds/node/"* "$fresh/node/"
  npm install --silent --no-audit --no-fund --prefix "$fresh/node" >&2
  (cd "$here/rounds/go" && go build -o "$fresh/go" .)
  mv -T "$fresh" "$rounds" 2>/dev/null || true
  rm -rf "$fresh"
fi
"$here/java.sh" sourcelab
[ $# -gt 0 ] || exit 0
client=$1
shift
case $client in
  kafka-connect-py | kafka-connect-api) exec "$rounds/python/bin/python3" "$here/rounds/python/round.py" "$client" "$@" ;;
  cloudhut | go-kafka) exec "$rounds/go" "$client" "$@" ;;
  kafka-connect-client) exec node "$rounds/node/round.js" "$@" ;;
  datahub)
    venv=$cache/datahub-$(cksum <"$here/rounds/datahub/requirements.txt" | cut -d' ' -f1)
    if [ ! -e "$venv/ready" ]; then
      rm -rf "$venv"
      python3 -m venv "$venv"
      "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/rounds/datahub/requirements.txt" >&2
      touch "$venv/ready"
    fi
    exec "$venv/bin/python" "$here/rounds/datahub/ingest.py" "$@" ;;
  sourcelab)
    mapfile -t keys < <(python3 -c 'import json, sys; [print(k + "=" + v) for k, v in json.loads(sys.argv[1]).items()]' "$4")
    exec "$here/java.sh" sourcelab "$1" "$2" "$3" "${keys[@]}" ;;
esac
fail "there is no client $client"
