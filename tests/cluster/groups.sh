#!/bin/bash
# Makes or removes the control group of a node: ./groups.sh make|remove NAME
set -euo pipefail
action=${1:?usage: groups.sh make|remove NAME} name=${2:?usage: groups.sh make|remove NAME}
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  hierarchies=(/sys/fs/cgroup)
else
  hierarchies=(/sys/fs/cgroup/*/)
fi
case $action in
  make)
    mkdir -p "${hierarchies[@]/%//$name}"
    if [ -e "/sys/fs/cgroup/cpuset/$name" ]; then
      for file in cpuset.cpus cpuset.mems; do cat "/sys/fs/cgroup/cpuset/$file" > "/sys/fs/cgroup/cpuset/$name/$file"; done
    fi
    ;;
  remove)
    # Deepest first; what ran in them may still be ending.
    for ((i = 0; i < 50; i++)); do
      find "${hierarchies[@]/%//$name}" -depth -type d -exec rmdir {} + 2> /dev/null || true
      ls -d "${hierarchies[@]/%//$name}" > /dev/null 2>&1 || exit 0
      sleep 0.1
    done
    echo "control groups are left: $name" >&2
    exit 1
    ;;
esac
