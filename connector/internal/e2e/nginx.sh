#!/usr/bin/env bash
# Runs nginx in the foreground, with a file of its own and all that it writes in a folder: nginx.sh CONF DIR.
# Without arguments it only sees to it that there is one.
# It takes the nginx that is installed, or unpacks Debian's package into E2E_CACHE: nothing is installed, and
# no service is started.
set -euo pipefail
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
fail() { echo "nginx.sh: $*" >&2; exit 2; }

nginx=$(command -v nginx || command -v /usr/sbin/nginx || echo "$cache/nginx/usr/sbin/nginx")
if [ ! -x "$nginx" ]; then
  command -v apt-get >/dev/null || fail "nginx is not installed, and there is no apt-get to fetch it with"
  mkdir -p "$cache"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  download=(apt-get -qq -o APT::Sandbox::User=root download nginx)
  (cd "$fresh" && { "${download[@]}" || { apt-get -qq update && "${download[@]}"; }; }) >&2 ||
    fail "apt-get download nginx failed; install nginx"
  dpkg-deb -x "$fresh"/nginx_*.deb "$fresh/nginx"
  mv -T "$fresh/nginx" "$cache/nginx" 2>/dev/null || true # another run may have been first
  rm -rf "$fresh"
fi
[ $# -eq 0 ] || exec "$nginx" -p "$2" -c "$1" -e "$2/error.log" -g 'daemon off;'
