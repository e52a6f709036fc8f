#!/bin/bash
# Makes or removes the control group of a node: ./groups.sh make|remove NAME
set -euo pipefail
action=${1:?usage: groups.sh make|remove NAME} name=${2:?usage: groups.sh make|remove NAME}
root=/sys/fs/cgroup
if [ -e $root/cgroup.controllers ]; then
  groups=("$root/$name")
else
  # Version 1: one in each hierarchy.
  groups=($root/*/)
  groups=("${groups[@]/%/$name}")
fi
case $action in
  make)
    if [ -e $root/cgroup.controllers ]; then
      for controller in $(cat $root/cgroup.controllers); do echo "+$controller" > $root/cgroup.subtree_control || true; done
    fi
    mkdir -p "${groups[@]}"
    if [ -e "$root/cpuset/$name" ]; then
      for file in cpuset.cpus cpuset.mems; do cat "$root/cpuset/$file" > "$root/cpuset/$name/$file"; done
    fi
    ;;
  remove)
    # Deepest first; what ran in them may still be ending.
    for ((i = 0; i < 100; i++)); do
      find "${groups[@]}" -depth -type d -exec rmdir {} + 2> /dev/null || true
      [ -n "$(find "${groups[@]}" -maxdepth 0 2> /dev/null)" ] || exit 0
      sleep 0.1
    done
    echo "control groups are left: $name" >&2
    exit 1
    ;;
esac
