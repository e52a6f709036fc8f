#!/bin/sh
# Writes the module of a Kubernetes version, e.g. 1.36/go.mod: ./tidy.sh 1.36.3
#
# k8s.io/kubernetes requires its own staging modules at v0.0.0 and replaces them by folders of its repository. A
# dependency's replace lines are ignored, so each of them is needed here again, with the published version.
set -eu
version=${1:?usage: tidy.sh KUBERNETES_VERSION}
cd "$(dirname "$0")"
theirs=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
etcd=$(sed -n 's/.*go\.etcd\.io\/etcd\/server\/v3 \(v[^ ]*\).*/\1/p' "$theirs")
rm -rf "${version%.*}"
mkdir "${version%.*}"
cd "${version%.*}"
printf 'module pillion.dev/tests/controlplane\n\n' > go.mod
sed -n '/^go /p; /^godebug /p' "$theirs" >> go.mod
for module in $(sed -n 's/^[[:space:]]*\(k8s\.io\/[a-z0-9-]*\) v0\.0\.0\( .*\)\{0,1\}$/\1/p' "$theirs" | sort -u); do
  go mod edit -replace "$module=$module@v0.${version#1.}"
done
go get -tool "go.etcd.io/etcd/server/v3@$etcd" "k8s.io/kubernetes/cmd/kube-apiserver@v$version" \
  "k8s.io/kubernetes/cmd/kube-controller-manager@v$version" "k8s.io/kubernetes/cmd/kube-scheduler@v$version" \
  "k8s.io/kubernetes/cmd/kubelet@v$version" "k8s.io/kubernetes/cmd/kubectl@v$version"
