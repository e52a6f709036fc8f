#!/bin/sh
# Builds the Go tools that the tests run, each from the module in the folder of its name, into TARGET/tools/bin:
# ./build.sh TARGET. What was built from the same go.mod is left alone. Go's build cache is TARGET/go-cache.
set -eu
target=${1:?usage: build.sh TARGET}
mkdir -p "$target/tools/bin"
target=$(cd "$target" && pwd)
cd "$(dirname "$0")"
# Which Kubernetes a helm without a cluster speaks to, as its own Makefile says it.
minor=$(sed -n 's/.*k8s\.io\/client-go v0\.\([0-9]*\)\..*/\1/p' helm/go.mod)
flags='-s -w'
for package in chartutil lint/rules; do
  package=helm.sh/helm/v3/pkg/$package
  flags="$flags -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
done
export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=readonly" GOTOOLCHAIN=local GOCACHE="$target/go-cache"
for module in */go.mod; do
  tool=${module%/go.mod}
  stamp=$(cat "$module" "$tool/go.sum" build.sh | sha256sum | cut -d' ' -f1)
  [ "$(cat "$target/tools/$tool.stamp" 2>/dev/null)" = "$stamp" ] && continue
  echo "building $tool into $target/tools/bin: a few minutes, once" >&2
  # The tag leaves out of promtool the clients of the clouds that Prometheus can discover.
  (cd "$tool" && go build -tags remove_all_sd -ldflags "$flags" -o "$target/tools/bin/" tool)
  echo "$stamp" > "$target/tools/$tool.stamp"
done
