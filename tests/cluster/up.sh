#!/bin/bash
# Starts the node that build.sh built into TARGET/cluster, anew if it runs, and returns when it is usable:
# ./up.sh TARGET VERSION
#
# Its state and its logs are in TARGET/cluster/run; ./in runs a command in it; ./down.sh ends it.
set -euo pipefail
target=$(realpath "${1:?usage: up.sh TARGET VERSION}") version=${2:?usage: up.sh TARGET VERSION}
here=$(realpath "$(dirname "$0")")
run=$target/cluster/run
[ "$(id -u)" = 0 ] || { echo "a node needs root" >&2; exit 1; }
"$here/down.sh" "$target"

rm -rf "$run"
mkdir -p "$run/bin" "$run/kubernetes"
group=pillion-tests-$$
echo "$group" > "$run/group"
"$here/groups.sh" make "$group"
setsid unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc \
  "$here/node.sh" "$target" "$version" "$group" > "$run/node.log" 2>&1 < /dev/null &
echo $! > "$run/pid"
# It gives up by itself.
until [ -e "$run/ready" ]; do
  if ! kill -0 $! 2> /dev/null; then
    echo "the node does not come up, see $run/*.log:" >&2
    tail -5 "$run/node.log" >&2
    "$here/down.sh" "$target"
    exit 1
  fi
  sleep 0.1
done
