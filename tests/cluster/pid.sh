#!/bin/bash
# Prints the process that began the node of TARGET/cluster, if that runs: ./pid.sh TARGET
set -euo pipefail
target=$(realpath "${1:?usage: pid.sh TARGET}")
pid=$(cat "$target/cluster/run/pid" 2> /dev/null) || exit 1
# Still that process, and not another that was given its number.
grep -qazF "$(realpath "$(dirname "$0")")/node.sh" "/proc/$pid/cmdline" 2> /dev/null || exit 1
echo "$pid"
