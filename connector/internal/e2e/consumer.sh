#!/usr/bin/env bash
# Runs consumer/consume.py, with its libraries in a folder of their own in E2E_CACHE: consumer.sh [ARGUMENTS]. Without arguments it only installs them.
# It wants Python 3.9 or newer with venv.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
venv=$cache/consumer-$(cksum <"$here/consumer/requirements.txt" | cut -d' ' -f1)
fail() { echo "consumer.sh: $*" >&2; exit 2; }
mkdir -p "$cache"
if [ ! -e "$venv/ready" ]; then
  command -v python3 >/dev/null || fail "python3 is not installed (Debian: apt-get install python3-venv)"
  exec 9>"$venv.lock"
  flock 9
  if [ ! -e "$venv/ready" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 has no venv (Debian: apt-get install python3-venv)"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/consumer/requirements.txt" >&2
    touch "$venv/ready"
  fi
fi
[ $# -eq 0 ] || exec "$venv/bin/python" "$here/consumer/consume.py" "$@"
