#!/bin/bash
# Ends the node of TARGET/cluster; its logs stay: ./down.sh TARGET
set -euo pipefail
target=$(realpath "${1:?usage: down.sh TARGET}")
run=$target/cluster/run
first=$(cat "$run/pid" 2> /dev/null || true)
# Still that process, and not another that was given its number.
if [ -n "$first" ] && grep -qazF "$(dirname "$(realpath "$0")")/node.sh" "/proc/$first/cmdline" 2> /dev/null; then
  kill -KILL "$first"
  while [ -e "/proc/$first" ]; do sleep 0.05; done
fi
rm -f "$run/pid" "$run/ready"
[ ! -e "$run/group" ] || "$(dirname "$0")/groups.sh" remove "$(cat "$run/group")"
