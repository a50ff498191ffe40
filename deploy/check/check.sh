#!/usr/bin/env bash
# Checks the files of deploy with the tools that read them. It needs Go, promtool, systemd-analyze and a Python 3 with venv, and the network for
# Go modules and for Kubernetes' schemas.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
deploy=$here/..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

kubernetes_versions=(1.29.0 1.37.0) # the oldest and the newest that the manifests are for

for tool in go promtool systemd-analyze python3; do
  command -v "$tool" >/dev/null || { echo "deploy-check needs $tool, which is not in PATH" >&2; exit 1; }
done

echo "--- chart, manifests, compose files, image"
cd "$here"
go vet ./...
go test ./...

echo "--- manifests against Kubernetes' schemas"
venv=${XDG_CACHE_HOME:-$HOME/.cache}/coupastream-e2e/kubernetes-validate-1.37.0
if [ ! -x "$venv/bin/kubernetes-validate" ]; then
  rm -rf "$venv" && python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check kubernetes-validate==1.37.0
fi
go build -o "$work/render" ./render
"$work/render" "$deploy/helm/coupastream" coupastream "$deploy/helm/coupastream/ci/rest-values.yaml" >"$work/rest.yaml"
# Resources of the Prometheus operator are not Kubernetes' own; the Go types of the operator have judged them.
sed -e '/^serviceMonitor:/d' -e '/^prometheusRule:/d' "$deploy/helm/coupastream/ci/full-values.yaml" >"$work/full-values.yaml"
"$work/render" "$deploy/helm/coupastream" prod "$work/full-values.yaml" >"$work/full.yaml"
for version in "${kubernetes_versions[@]}"; do
  "$venv/bin/kubernetes-validate" --strict --quiet -k "$version" "$work/rest.yaml" "$work/full.yaml" "$deploy/kubernetes/coupastream.yaml"
done

echo "--- alerts"
cd "$deploy/prometheus"
promtool check rules alerts.yaml alerts_optional.yaml
promtool test rules alerts_test.yaml alerts_seconds_test.yaml alerts_optional_test.yaml
promtool check config --syntax-only "$deploy/compose/prometheus.yaml"

echo "--- systemd unit"
# The program is not installed here: what verify looks for is that the command is there.
systemd-analyze verify "$deploy/systemd/coupastream.service"
systemd-analyze security --offline=true --threshold=15 "$deploy/systemd/coupastream.service" | tail -n 1
