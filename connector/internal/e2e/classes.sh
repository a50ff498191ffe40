#!/usr/bin/env bash
# Makes Java classes of the schemas of all objects, their lines and envelopes in one build, as users do: classes.sh COUPASTREAM
# It wants a JDK 17 or newer and mvn. The build fails where a full name has two shapes, or a class does not compile.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "classes.sh: $*" >&2; exit 2; }
program=${1:-}
[ -x "$program" ] || fail "give the program: classes.sh bin/coupastream"
command -v mvn >/dev/null || fail "mvn is not installed (Debian: apt-get install maven)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/avro"

objects=$("$program" objects -o json | python3 -c 'import json, sys; print("\n".join(o["path"] for o in json.load(sys.stdin)))')
cat >"$work/connector.yaml" <<EOF
name: acme
coupa.url: https://acme.coupahost.com
coupa.client.id: id
coupa.client.secret: secret
coupa.objects: $(paste -sd, <<<"$objects")
custom.fields: map
envelope: debezium
EOF
# each schema that is printed begins a line with a brace, and goes to a file of its own
apart() { awk -v to="$work/avro/$1" '/^\{/ { n++ } { print >(to "-" n ".avsc") }'; }
while read -r path; do
  name=${path//\//_}
  "$program" schema "$path" | apart "$name"
  "$program" schema "$path" --connector "$work/connector.yaml" | apart "$name-envelope"
  if "$program" schema "$path" --lines >"$work/lines" 2>"$work/none"; then
    apart "$name-lines" <"$work/lines"
  else
    grep -q 'have no lines' "$work/none" || { cat "$work/none" >&2; exit 1; }
  fi
done <<<"$objects"

mvn -q -B -f "$here/classes/pom.xml" -Dwork="$work" compile >&2
echo "$(wc -l <<<"$objects") objects, $(find "$work/avro" -name '*.avsc' | wc -l) schemas, $(find "$work/java" -name '*.java' | wc -l) classes"
