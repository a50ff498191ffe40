#!/usr/bin/env bash
# Compiles a program in Java when it is not yet, and runs it: java.sh judge|unwrap [ARGUMENTS]. Without arguments it only compiles. The program's main class is
# named as its folder, which is its package too.
# It wants Java 17 or newer (with javac) and mvn; jars and classes stay in E2E_CACHE, as kafka.sh's programs do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
bin=${JAVA_HOME:+$JAVA_HOME/bin/}
fail() { echo "java.sh: $*" >&2; exit 2; }
name=${1:-}
[ -n "$name" ] && [ -f "$here/$name/pom.xml" ] || fail "give a program: judge or unwrap"
shift

# Folders carry a checksum of what they are made from, and are moved into place whole.
jars=$cache/$name-jars-$(cksum <"$here/$name/pom.xml" | cut -d' ' -f1)
classes=$cache/$name-$(cat "$here/$name"/* | cksum | cut -d' ' -f1)
mkdir -p "$cache"
if [ ! -d "$jars" ]; then
  command -v mvn >/dev/null || fail "mvn is not installed; it fetches the libraries (Debian: apt-get install maven)"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  mvn -q -B -f "$here/$name/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh/jars" >&2
  mv -T "$fresh/jars" "$jars" 2>/dev/null || true
  rm -rf "$fresh"
fi
if [ ! -d "$classes" ]; then
  command -v "${bin}javac" >/dev/null || fail "javac is not installed; $name needs a JDK, 17 or newer (set JAVA_HOME)"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  "${bin}javac" -Xlint:all -Werror --release 17 -cp "$jars/*" -d "$fresh/classes" "$here/$name"/*.java
  mv -T "$fresh/classes" "$classes" 2>/dev/null || true
  rm -rf "$fresh"
fi
[ $# -eq 0 ] || exec "${bin}java" -Xmx1g -XX:+UseSerialGC -cp "$classes:$jars/*" "$name.${name^}" "$@"
