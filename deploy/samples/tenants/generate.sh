#!/bin/sh
# generate.sh TENANTS.csv FOLDER writes a connector file for each line "tenant,url".
set -eu
template=$(dirname "$0")/tenant.yaml.in
mkdir -p "$2"
while IFS=, read -r tenant url || [ -n "$tenant" ]; do
  sed -e "s|@TENANT@|$tenant|g" -e "s|@URL@|$url|g" "$template" >"$2/$tenant.yaml"
done <"$1"
