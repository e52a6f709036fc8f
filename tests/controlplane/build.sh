#!/bin/sh
# Builds what tests run of Kubernetes from the Go modules pinned in 1.36/go.mod (or whichever version is asked for) into
# TARGET/controlplane/VERSION: ./build.sh TARGET VERSION [COMMAND...]
#
# That is etcd, kube-apiserver, kube-controller-manager, kubectl, celoracle, and the further commands of Kubernetes that are
# named, such as kubelet. What was built from the same go.mod is left alone. All versions share Go's build cache,
# TARGET/go-cache.
set -eu
target=${1:?usage: build.sh TARGET VERSION [COMMAND...]} version=${2:?usage: build.sh TARGET VERSION [COMMAND...]}
shift 2
mkdir -p "$target/controlplane/$version/stamps"
target=$(cd "$target" && pwd)
folder=$target/controlplane/$version
cd "$(dirname "$0")/${version%.*}"
grep -q "k8s.io/kubernetes v$version " go.mod || { echo "tests/controlplane/${version%.*} pins another version than $version" >&2; exit 2; }
stamp=$(cat go.mod go.sum ../build.sh ../celoracle/*.go | sha256sum | cut -d' ' -f1)

minor=${version#1.}
package=k8s.io/component-base/version
flags="-s -w -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=readonly" GOTOOLCHAIN=local GOCACHE="$target/go-cache"
for command in etcd kube-apiserver kube-controller-manager kubectl celoracle "$@"; do
  [ "$(cat "$folder/stamps/$command" 2>/dev/null)" = "$stamp" ] && continue
  echo "building $command of Kubernetes $version into $folder: several minutes for all, once" >&2
  case $command in
    etcd) package=go.etcd.io/etcd/server/v3 ;;
    # Its files are named, so that they are compiled with this module's versions and need no module of their own.
    celoracle) package=$(echo ../celoracle/*.go) ;;
    *) package=k8s.io/kubernetes/cmd/$command ;;
  esac
  # shellcheck disable=SC2086 # those files are several
  go build -ldflags "$flags" -o "$folder/$command" $package
  echo "$stamp" > "$folder/stamps/$command"
done
