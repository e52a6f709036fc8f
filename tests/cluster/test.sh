#!/bin/bash
# Runs the tests that need a real cluster: ./test.sh TARGET VERSION SET FILTER...
# SET is core, or all for those of e2e_all too.
#
# On the node of TARGET/cluster, started anew; with USE_EXISTING_CLUSTER=true on the cluster of the current kubeconfig,
# whose nodes have the images of TARGET/cluster/images.
set -euo pipefail
usage='usage: test.sh TARGET VERSION SET FILTER...'
target=${1:?$usage} version=${2:?$usage} set=${3:?$usage}
shift 3
here=$(realpath "$(dirname "$0")")
mkdir -p "$target"
target=$(realpath "$target")
export CARGO_TARGET_DIR=$target
if [ "${USE_EXISTING_CLUSTER-}" != true ]; then
  [ "$(id -u)" = 0 ] || { echo "a node needs root" >&2; exit 1; }
elif [ "$set" = all ]; then
  echo "make e2e-all ends processes of the node, and runs on that of the tests only: make e2e runs on yours" >&2
  exit 1
fi

# The node reaches nothing outside, so all is built before.
"$here/../tools/build.sh" "$target"
"$here/../controlplane/build.sh" "$target" "$version"
tests=(cargo test --locked --all-features --test it)
"${tests[@]}" --no-run
if [ "${USE_EXISTING_CLUSTER-}" != true ]; then
  # Another run would end the node of this one.
  exec {lock}> "$target/cluster.lock"
  flock --nonblock "$lock" || { echo "another run uses the node of $target" >&2; exit 1; }
  sets=(core)
  [ "$set" != all ] || sets+=(all)
  "$here/build.sh" "$target" "$version" "${sets[@]}"
  # One that somebody has started stays.
  "$here/pid.sh" "$target" > /dev/null || trap '"$here/down.sh" "$target"' EXIT
  "$here/up.sh" "$target" "$version" {lock}>&-
  triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
  export "CARGO_TARGET_${triple}_RUNNER=$here/in"
fi
# Most of the time they wait for pods.
"${tests[@]}" -- --ignored --test-threads 8 "$@"
