#!/bin/sh
# Builds kube-apiserver, kube-controller-manager, kubectl, etcd and celoracle from the Go modules pinned in 1.36/go.mod (or
# whichever version is asked for) into TARGET/controlplane/VERSION: ./build.sh TARGET VERSION
# Binaries that were built from the same go.mod are left alone. All versions share Go's build cache, TARGET/go-cache.
set -eu
target=${1:?usage: build.sh TARGET VERSION} version=${2:?usage: build.sh TARGET VERSION}
mkdir -p "$target/controlplane/$version"
target=$(cd "$target" && pwd)
folder=$target/controlplane/$version
cd "$(dirname "$0")/${version%.*}"
grep -q "k8s.io/kubernetes v$version " go.mod || { echo "tests/controlplane/${version%.*} pins another version than $version" >&2; exit 2; }
stamp=$(cat go.mod go.sum ../build.sh ../celoracle/*.go | sha256sum | cut -d' ' -f1)
[ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && exit 0

minor=${version#1.}
package=k8s.io/component-base/version
flags="-s -w -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=readonly" GOTOOLCHAIN=local GOCACHE="$target/go-cache"
echo "building Kubernetes $version and etcd into $folder: several minutes, once" >&2
go build -ldflags '-s -w' -o "$folder/etcd" go.etcd.io/etcd/server/v3
go build -ldflags "$flags" -o "$folder/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager \
  k8s.io/kubernetes/cmd/kubectl
# Its files are named, so that they are compiled with this module's versions and need no module of their own.
go build -ldflags '-s -w' -o "$folder/celoracle" ../celoracle/*.go
echo "$stamp" > "$folder/stamp"
