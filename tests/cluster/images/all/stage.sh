#!/bin/bash
# Brings the files of the images into FOLDER, as the Dockerfile beside it copies them: ./stage.sh FOLDER KUBERNETES_VERSION
set -euo pipefail
folder=${1:?usage: stage.sh FOLDER KUBERNETES_VERSION}
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

../debian.sh "$folder/postgres" base-files base-passwd bash coreutils dash postgresql-15 prometheus-postgres-exporter
echo 'app:x:10001:10001::/:/bin/sh' >> "$folder/postgres/etc/passwd" # initdb wants to know whose the files are
../debian.sh "$folder/java" base-files base-passwd bash coreutils curl dash openjdk-17-jdk-headless

# A link for each of its programs.
rm -rf "$folder/busybox"
mkdir -p "$folder"/busybox/{bin,proc,tmp}
cp "$folder/debian/usr/bin/busybox" "$folder/busybox/bin/"
for applet in $("$folder/busybox/bin/busybox" --list); do
  [ "$applet" = busybox ] || ln -s busybox "$folder/busybox/bin/$applet"
done

# A program from Go's registry, with the dependencies that its own module names.
program() { # NAME PACKAGE VERSION [TAGS]
  mkdir "$work/$1"
  (
    cd "$work/$1"
    printf 'module images/%s\n' "$1" > go.mod
    go mod edit -go="$(go env GOVERSION | sed 's/^go//')"
    GOFLAGS=-mod=mod go get -tool "$2@$3"
    CGO_ENABLED=0 GOFLAGS=-mod=mod go build -ldflags '-s -w' -tags "${4-}" -o "$folder/$1" "$2"
  )
}
program migrate github.com/golang-migrate/migrate/v4/cmd/migrate v4.20.1 postgres,file
program sops github.com/getsops/sops/v3/cmd/sops v3.13.3
program age-keygen filippo.io/age/cmd/age-keygen v1.3.2
program prometheus-config-reloader github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader v0.85.0
program ratelimit github.com/envoyproxy/ratelimit/src/service_cmd v1.4.1-0.20260122083618-3fb702589d36

# The Collector's builder only writes the source: to tidy its module it would need those of all tests.
cp collector.yaml "$work/"
(
  cd "$work"
  go run go.opentelemetry.io/collector/cmd/builder@v0.152.0 --config collector.yaml --skip-get-modules --skip-compilation
  cd build
  CGO_ENABLED=0 GOFLAGS=-mod=mod go build -ldflags '-s -w' -o "$folder/otelcol" .
)

../debian.sh "$folder/grpc" base-files base-passwd coreutils dash libstdc++6 python3
pip install --quiet --no-cache-dir --no-compile --only-binary=:all: --python-version 3.11 --target "$folder/grpc/python" \
  grpcio==1.85.1 grpcio-tools==1.85.1 googleapis-common-protos==1.76.0

artifact() { # GROUP:NAME:VERSION FILE
  mvn --quiet --batch-mode dependency:copy -Dartifact="$1" -DoutputDirectory="$work" -Dmdep.stripVersion=true
  mv "$work/$(cut -d: -f2 <<< "$1").jar" "$folder/$2"
}
artifact io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1 jmx_prometheus_javaagent.jar
artifact io.opentelemetry.javaagent:opentelemetry-javaagent:2.21.0 opentelemetry-javaagent.jar
