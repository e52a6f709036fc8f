#!/bin/sh
# Builds kube-apiserver, kube-controller-manager and etcd from the Go modules pinned in go.mod: ./build.sh FOLDER
# Binaries that were built from the same go.mod are left alone. Go's build cache goes beside them, into FOLDER/cache.
set -eu
folder=${1:?usage: build.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")"
stamp=$(cat go.mod go.sum build.sh | sha256sum | cut -d' ' -f1)
[ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && exit 0

kubernetes=$(sed -n 's/.*k8s\.io\/kubernetes v\([0-9.]*\).*/\1/p' go.mod)
minor=${kubernetes#1.}
version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*} -X $version.gitTreeState=clean"
export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=readonly" GOTOOLCHAIN=local GOCACHE="$folder/cache"
echo "building kube-apiserver $kubernetes, kube-controller-manager and etcd into $folder: several minutes, once" >&2
go build -ldflags '-s -w' -o "$folder/etcd" go.etcd.io/etcd/server/v3
go build -ldflags "$flags" -o "$folder/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager
echo "$stamp" > "$folder/stamp"
