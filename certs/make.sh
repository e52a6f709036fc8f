#!/bin/sh
# Makes a CA and a serving certificate for Pillion: certs/make.sh [NAMESPACE [NAME_OR_IP...]]
#
# Everything goes to certs/out, which git ignores. A CA that is there already signs the new certificate, so that the
# caBundle in the cluster stays right; to get a new CA, remove certs/out.
set -eu
umask 077

namespace=${1:-pillion}
[ $# -eq 0 ] || shift
out=$(cd "$(dirname "$0")" && pwd)/out
mkdir -p "$out"
cd "$out"

# The API server asks for this name, and ignores the common name.
service=pillion.$namespace.svc
names=DNS:$service
for name in "$@"; do
  case $name in
    *:*) names=$names,IP:$name ;;
    *[!0-9.]*) names=$names,DNS:$name ;;
    *) names=$names,IP:$name ;;
  esac
done

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
sign() { openssl x509 -req -sha256 -set_serial "0x$(openssl rand -hex 16)" -extfile extensions "$@"; }
trap 'rm -f request extensions' EXIT

if ! [ -s ca.crt ] || ! [ -s ca.key ]; then
  key ca.key
  openssl req -new -key ca.key -subj "/CN=Pillion CA" -out request
  printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n' > extensions
  sign -in request -signkey ca.key -days 3650 -out ca.crt
fi

key tls.key
openssl req -new -key tls.key -subj "/CN=$service" -out request
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' \
  "$names" > extensions
sign -in request -CA ca.crt -CAkey ca.key -days 365 -out tls.crt
chmod 644 ca.crt tls.crt

cat <<TEXT
certs/out/tls.crt is good until $(openssl x509 -noout -enddate -in tls.crt | cut -d= -f2) for $names

Put it into the cluster, where running servers pick it up within a minute or two:

  kubectl -n $namespace create secret tls pillion-tls --cert=certs/out/tls.crt --key=certs/out/tls.key \\
    --dry-run=client -o yaml | kubectl apply -f -

Tell the API server which CA to trust, by the chart:

  --set certs.existingSecret.caBundle="\$(base64 < certs/out/ca.crt | tr -d '\\n')"
TEXT
