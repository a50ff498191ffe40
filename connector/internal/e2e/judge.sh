#!/usr/bin/env bash
# Compiles the judge when it is not yet, and runs it: judge.sh [ARGUMENTS of judge/Judge.java]. Without arguments it only compiles.
# It wants Java 17 or newer (with javac) and mvn; jars and classes stay in E2E_CACHE, as kafka.sh's programs do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e}
bin=${JAVA_HOME:+$JAVA_HOME/bin/}
fail() { echo "judge.sh: $*" >&2; exit 2; }

# Folders carry a checksum of what they are made from, and are moved into place whole.
jars=$cache/judge-jars-$(cksum <"$here/judge/pom.xml" | cut -d' ' -f1)
classes=$cache/judge-$(cat "$here"/judge/* | cksum | cut -d' ' -f1)
mkdir -p "$cache"
if [ ! -d "$jars" ]; then
  command -v mvn >/dev/null || fail "mvn is not installed; it fetches Kafka's client and Avro (Debian: apt-get install maven)"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  mvn -q -B -f "$here/judge/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh/jars" >&2
  mv -T "$fresh/jars" "$jars" 2>/dev/null || true
  rm -rf "$fresh"
fi
if [ ! -d "$classes" ]; then
  command -v "${bin}javac" >/dev/null || fail "javac is not installed; the judge needs a JDK, 17 or newer (set JAVA_HOME)"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  "${bin}javac" -Xlint:all -Werror --release 17 -cp "$jars/*" -d "$fresh/classes" "$here"/judge/*.java
  mv -T "$fresh/classes" "$classes" 2>/dev/null || true
  rm -rf "$fresh"
fi
[ $# -eq 0 ] || exec "${bin}java" -Xmx1g -XX:+UseSerialGC -cp "$classes:$jars/*" judge.Judge "$@"
