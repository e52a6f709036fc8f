#!/bin/bash
# Runs the tests that need a real cluster: ./test.sh TARGET VERSION SET FILTER...
# SET is core, or all for those of e2e_all too.
#
# On the node of TARGET/cluster, started for them unless it runs; with USE_EXISTING_CLUSTER=true on the cluster of the
# current kubeconfig, whose nodes have the images of TARGET/cluster/images.
set -euo pipefail
target=${1:?usage: test.sh TARGET VERSION SET FILTER...} version=${2:?usage: test.sh TARGET VERSION SET FILTER...}
set=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$target"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR=$target

# The node reaches nothing outside, so all is built before.
"$here/../tools/build.sh" "$target"
"$here/../controlplane/build.sh" "$target" "$version"
tests=(cargo test --locked --all-features --test it)
"${tests[@]}" --no-run
if [ "${USE_EXISTING_CLUSTER-}" != true ]; then
  sets=(core)
  [ "$set" != all ] || sets+=(all)
  "$here/build.sh" "$target" "$version" "${sets[@]}"
  if [ ! -e "$target/cluster/run/pid" ]; then
    trap '"$here/down.sh" "$target"' EXIT
    "$here/up.sh" "$target" "$version"
  fi
  triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
  export "CARGO_TARGET_${triple}_RUNNER=$here/in"
fi
"${tests[@]}" -- --ignored "$@"
