#!/bin/bash
# Ends the node of TARGET/cluster, if it runs; its logs stay: ./down.sh TARGET
set -euo pipefail
target=$(realpath "${1:?usage: down.sh TARGET}")
here=$(realpath "$(dirname "$0")")
run=$target/cluster/run
if pid=$("$here/pid.sh" "$target"); then
  first=$(pgrep -P "$pid" || true)
  kill -KILL "$pid"
  # With the first process of its namespaces go all others, the mounts and the network.
  while [ -n "$first" ] && [ -e "/proc/$first" ]; do sleep 0.05; done
fi
rm -f "$run/pid" "$run/ready"
[ ! -e "$run/group" ] || "$here/groups.sh" remove "$(cat "$run/group")"
