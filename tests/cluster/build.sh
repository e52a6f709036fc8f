#!/bin/bash
# Builds the node of the tests and its images into TARGET/cluster: ./build.sh TARGET VERSION SET...
#
# Needs what README.md says. Kubernetes comes from tests/controlplane, VERSION is one of its; the container runtime from
# the module in runtime/; the images from Pillion's own Dockerfile and from images/SET. What was built from the same files
# is left alone.
set -euo pipefail
target=${1:?usage: build.sh TARGET VERSION SET...} version=${2:?usage: build.sh TARGET VERSION SET...}
mkdir -p "$target/cluster/"{bin,images,stage,stamps}
target=$(cd "$target" && pwd)
out=$target/cluster
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)

programs=(apt-get cargo dpkg-deb gcc go ip nsenter openssl pip pkg-config python3 unshare)
[[ " ${*:3} " != *" all "* ]] || programs+=(mvn)
for program in "${programs[@]}"; do
  command -v "$program" > /dev/null || missing="${missing-} $program"
done
pkg-config --exists libseccomp || missing="${missing-} libseccomp-dev"
if [ -n "${missing-}" ]; then
  echo "the node of the tests cannot be built without:$missing (tests/cluster/README.md says how to get them)" >&2
  exit 1
fi

# Whether NAME was not built yet from just these files; what builds it follows, then `built NAME`.
stale() { # NAME FILE...
  local name=$1
  shift
  stamp=$(cat "$@" build.sh | sha256sum | cut -d' ' -f1)
  [ "$(cat "$out/stamps/$name" 2> /dev/null)" != "$stamp" ] || return 1
  echo "building $name into $out" >&2
}
built() { echo "$stamp" > "$out/stamps/$1"; }

../controlplane/build.sh "$target" "$version" kube-scheduler kubelet

export GOFLAGS="-trimpath -mod=readonly" GOTOOLCHAIN=local GOCACHE="$target/go-cache"
if stale runtime runtime/go.mod runtime/go.sum; then
  containerd=github.com/containerd/containerd/v2
  plugins=github.com/containernetworking/plugins/plugins
  (
    cd runtime
    flags="-s -w -X $containerd/version.Version=$(go list -m -f '{{.Version}}' $containerd)"
    export CGO_ENABLED=0
    go build -ldflags "$flags" -tags no_btrfs,no_devmapper,no_zfs -o "$out/bin/" \
      $containerd/cmd/{containerd,containerd-shim-runc-v2,ctr}
    go build -ldflags '-s -w' -o "$out/bin/" $plugins/main/{ptp,loopback} $plugins/ipam/host-local
    # Each pod has the profile RuntimeDefault, which runc without libseccomp refuses.
    CGO_ENABLED=1 go build -ldflags '-s -w' -tags seccomp -o "$out/bin/" github.com/opencontainers/runc
  )
  built runtime
fi
if stale pack pack/*; then
  (cd pack && CGO_ENABLED=0 go build -ldflags '-s -w' -o "$out/bin/" .)
  built pack
fi

# Pillion's image, of what its Dockerfile would compile.
triple=$(rustc -vV | sed -n 's/^host: //p')
(
  cd "$repository"
  CARGO_TARGET_DIR=$target RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --locked --release --features otlp --bin pillion --target "$triple"
)
mkdir -p "$out/stage/pillion/etc/ssl/certs"
cp "$target/$triple/release/pillion" "$out/stage/pillion/"
cp /etc/ssl/certs/ca-certificates.crt "$out/stage/pillion/etc/ssl/certs/"
tag=$(sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$repository/charts/pillion/Chart.yaml")
"$out/bin/pack" -file "$repository/Dockerfile" -context "$repository" -from build="$out/stage/pillion" -arg VERSION="$tag" \
  -out "$out/images/pillion.tar" "ghcr.io/pillion-dev/pillion:$tag"

# What the tests run beside it.
for set in "${@:3}"; do
  # The files of core are in images of the others, too.
  if stale "images-$set" images/"$set"/* images/core/* images/debian.sh pack/main.go; then
    images/"$set"/stage.sh "$out/stage" "$version"
    sed -n 's|^FROM .* AS \(.*\)$|localhost/\1:1=\1|p' images/"$set"/Dockerfile |
      xargs "$out/bin/pack" -file images/"$set"/Dockerfile -context "$out/stage" -out "$out/images/$set.tar"
    built "images-$set"
  fi
done
