#!/usr/bin/env bash
# Has openlineage-python read the events that connector/lineage is tested by: lineage.sh
# It wants Python 3.9 or newer with venv. The library stays in a folder of its own in E2E_CACHE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
venv=$cache/lineage-$(cksum <"$here/lineage/requirements.txt" | cut -d' ' -f1)
mkdir -p "$cache"
if [ ! -e "$venv/ready" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv" || { echo "lineage.sh: python3 has no venv (Debian: apt-get install python3-venv)" >&2; exit 2; }
  "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/lineage/requirements.txt" >&2
  touch "$venv/ready"
fi
exec "$venv/bin/python" "$here/lineage/check.py" "$here/../../lineage/testdata/events.ndjson"
