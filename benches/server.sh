#!/bin/bash
# The server against the floor: CPU time per review of both, from the processes' own accounting, in one run, and
# allocations per review, in a run of their own under valgrind. Server and load generator (wrk) are pinned to different
# cores; 16 kept-alive TLS connections on loopback. Each pod asks for the cookbook's fluent-bit and gets it. No two of a
# thousand are the same, and the floor's answers are as long as Pillion's.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in wrk valgrind curl openssl; do
  command -v $tool >/dev/null || { echo "benches/server.sh needs $tool (Debian: apt-get install $tool)" >&2; exit 2; }
done
seconds=${1:-10}

cargo build --locked --release --bin pillion --example floor
folder=$(mktemp -d)
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$folder"' EXIT
pids=()

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$folder/key" -out "$folder/certificate" 2>/dev/null
wait_for() { for _ in $(seq 600); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done; echo "nothing on port $1" >&2; exit 1; }
# User and system time of a process, in ticks of 10 ms.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
resident() { awk '/VmRSS/ { print $2 }' "/proc/$1/status"; }

# A thousand reviews that differ in uid, pod, label, variable and parameter, and not in size.
reviews() { # file folder
  mkdir "$2"
  awk -v folder="$2" '{
    sub(/"uid":"[0-9a-f][0-9a-f][0-9a-f][0-9a-f]/, "\"uid\":\"@")
    gsub(/","namespace":"/, "@&")
    sub(/"labels":[{]/, "&\"run\":\"@\",")
    sub(/"annotations":[{]/, "&\"fluent-bit.pillion.dev/files\":\"@*.log\",")
    sub(/"env":\[/, "&{\"name\":\"RUN\",\"value\":\"@\"},") ||
      sub(/"containers":\[[{]/, "&\"env\":[{\"name\":\"RUN\",\"value\":\"@\"}],")
    for (number = 1; number <= 1000; number++) {
      review = $0
      gsub(/@/, sprintf("%04d", number), review)
      print review > (folder "/" number)
      close(folder "/" number)
    }
  }' "$1"
}

# Starts a server by a command. It does not look for changed files, so that all that it does is answer.
start() { # floor|pillion port command
  case $1 in
    floor) "${@:3}" target/release/examples/floor "127.0.0.1:$2" "$folder/certificate" "$folder/key" & ;;
    pillion)
      "${@:3}" target/release/pillion serve --templates manifests/templates/fluent-bit.yaml --tls-cert "$folder/certificate" \
        --tls-key "$folder/key" --listen "127.0.0.1:$2" --admin-listen 127.0.0.1:0 --log-format json --drain-seconds 0 \
        --reload-interval 3600 2>>"$folder/log" & ;;
  esac
  pids+=($!)
  wait_for "$2"
}

load() { # size url seconds -> requests, errors, mean, p99
  REVIEWS=$folder/$1 taskset -c 1 wrk -t 1 -c 16 -d "$3s" -s benches/review.lua "$2" | grep '^requests'
}

# Sets blocks to what a server allocates from its start to its end, with so many reviews on one connection.
count_blocks() { # server size query reviews
  start "$1" 18445 valgrind --tool=dhat --dhat-out-file=/dev/null --log-file="$folder/dhat"
  for number in $(seq "$4"); do
    printf '%s\n' next "url = https://127.0.0.1:18445/mutate$3" "cacert = $folder/certificate" fail output=/dev/null \
      'header = "Content-Type: application/json"' "data-binary = @$folder/$2/$number"
  done | curl --silent --show-error --fail-early --config -
  kill "${pids[-1]}"
  wait "${pids[-1]}" || true
  unset 'pids[-1]'
  blocks=$(sed -n 's/.*Total: .* in \([0-9,]*\) blocks$/\1/p' "$folder/dhat" | tr -d ,)
}

start floor 18443 taskset -c 0; floor=$!
start pillion 18444 taskset -c 0; pillion=$!
echo "resident memory of pillion, idle: $(resident "$pillion") kB"
printf '%-8s %-8s %10s %12s %8s %12s\n' review server reviews/s 'µs CPU each' ratio allocations
for size in small typical large; do
  base=
  reviews "tests/fixtures/reviews/$size.json" "$folder/$size"
  bytes=$(curl --silent --cacert "$folder/certificate" --header 'Content-Type: application/json' \
    --data-binary "@$folder/$size/1" --output /dev/null --write-out '%{size_download}' https://127.0.0.1:18444/mutate)
  for server in floor pillion; do
    [ $server = floor ] && { port=18443 pid=$floor query=?$bytes; } || { port=18444 pid=$pillion query=; }
    load $size "https://127.0.0.1:$port/mutate$query" 1 > /dev/null
    before=$(ticks "$pid")
    read -r _ requests _ errors _ < <(load $size "https://127.0.0.1:$port/mutate$query" "$seconds")
    after=$(ticks "$pid")
    [ "$errors" = 0 ] || { echo "$server: $errors errors" >&2; exit 1; }
    each=$(awk -v t=$((after - before)) -v n="$requests" 'BEGIN { printf "%.1f", t * 10000 / n }')
    base=${base:-$each}
    count_blocks $server $size "$query" 20; few=$blocks
    count_blocks $server $size "$query" 120
    printf '%-8s %-8s %10d %12s %8s %12s\n' $size $server $((requests / seconds)) "$each" \
      "$(awk -v a="$each" -v b="$base" 'BEGIN { printf "%.2f", a / b }')" $(((blocks - few) / 100))
  done
  echo "  a review has $(stat -c %s "$folder/$size/1") bytes, its answer $bytes"
done
printf 'reviews that were injected, by the log: %d of %d\n' \
  "$(grep -c '"outcome":"injected"' "$folder/log")" "$(grep -c '"outcome":' "$folder/log")"
echo "resident memory of pillion, after these reviews: $(resident "$pillion") kB"
echo "size of the stripped binary: $(stat -c %s target/release/pillion) bytes"
