#!/bin/sh
# Writes go.mod for a Kubernetes version: ./tidy.sh 1.36.3 3.6.8
#
# k8s.io/kubernetes requires its own staging modules at v0.0.0 and replaces them by folders of its repository. A
# dependency's replace lines are ignored, so each of them is needed here again, with the published version.
set -eu
kubernetes=${1:?usage: tidy.sh KUBERNETES_VERSION ETCD_VERSION} etcd=${2:?usage: tidy.sh KUBERNETES_VERSION ETCD_VERSION}
cd "$(dirname "$0")"
rm -f go.mod go.sum
printf 'module pillion.dev/tests/controlplane\n\ngo 1.26.0\n\ngodebug default=go1.26\n' > go.mod
theirs=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
for module in $(sed -n 's/^[[:space:]]*\(k8s\.io\/[a-z0-9-]*\) v0\.0\.0\( .*\)\{0,1\}$/\1/p' "$theirs" | sort -u); do
  go mod edit -replace "$module=$module@v0.${kubernetes#1.}"
done
go get -tool "k8s.io/kubernetes/cmd/kube-apiserver@v$kubernetes" \
  "k8s.io/kubernetes/cmd/kube-controller-manager@v$kubernetes" "go.etcd.io/etcd/server/v3@v$etcd"
