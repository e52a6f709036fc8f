#!/bin/bash
# The server against the floor: CPU time per review of both, from the processes' own accounting, in one run.
# Server and load generator (wrk) are pinned to different cores; 16 kept-alive TLS connections on loopback. Each pod
# asks for the cookbook's fluent-bit and gets it.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo 'benches/server.sh needs wrk (Debian: apt-get install wrk)' >&2; exit 2; }
seconds=${1:-10}

cargo build --locked --release --bin pillion --example floor
folder=$(mktemp -d)
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$folder"' EXIT
pids=()

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$folder/key" -out "$folder/certificate" 2>/dev/null
wait_for() { for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done; echo "nothing on port $1" >&2; exit 1; }
# User and system time of a process, in ticks of 10 ms.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
resident() { awk '/VmRSS/ { print $2 }' "/proc/$1/status"; }

taskset -c 0 target/release/examples/floor 127.0.0.1:18443 "$folder/certificate" "$folder/key" & floor=$!; pids+=($!)
taskset -c 0 target/release/pillion serve --templates manifests/templates/fluent-bit.yaml --tls-cert "$folder/certificate" \
  --tls-key "$folder/key" --listen 127.0.0.1:18444 --admin-listen 127.0.0.1:18445 --log-format json 2>"$folder/log" & pillion=$!; pids+=($!)
wait_for 18443; wait_for 18444
echo "resident memory of pillion, idle: $(resident "$pillion") kB"

load() { # port file seconds -> requests, errors, mean, p99
  REVIEW=$2 taskset -c 1 wrk -t 1 -c "${4:-16}" -d "$3s" -s benches/review.lua "https://127.0.0.1:$1/mutate" | grep '^requests'
}
printf '%-8s %-8s %10s %12s %8s\n' review server reviews/s 'µs CPU each' ratio
for size in small typical large; do
  base=
  for server in floor pillion; do
    [ $server = floor ] && { port=18443 pid=$floor; } || { port=18444 pid=$pillion; }
    load $port "tests/fixtures/reviews/$size.json" 1 > /dev/null
    before=$(ticks "$pid")
    read -r _ requests _ errors _ < <(load $port "tests/fixtures/reviews/$size.json" "$seconds")
    after=$(ticks "$pid")
    [ "$errors" = 0 ] || { echo "$server: $errors errors" >&2; exit 1; }
    each=$(awk -v t=$((after - before)) -v n="$requests" 'BEGIN { printf "%.1f", t * 10000 / n }')
    base=${base:-$each}
    printf '%-8s %-8s %10d %12s %8s\n' $size $server $((requests / seconds)) "$each" "$(awk -v a="$each" -v b="$base" 'BEGIN { printf "%.2f", a / b }')"
  done
done
grep -c '"outcome":"injected"' "$folder/log" | xargs echo 'reviews that were injected, by the log:'
echo "resident memory of pillion, after these reviews: $(resident "$pillion") kB"
echo "size of the stripped binary: $(stat -c %s target/release/pillion) bytes"
