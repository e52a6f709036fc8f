#!/bin/bash
# The node, from within: the first process of its network, mount and process namespaces. With it all of them end, and
# everything that was mounted, started or connected in them. Started by up.sh.
set -euo pipefail
target=$1 version=$2 group=$3
here=$(cd "$(dirname "$0")" && pwd)
address=10.201.255.1 services=10.202.0.0/24 kubernetes=10.202.0.1
trap 'exit 0' TERM INT

say() { echo "$(date +%T.%3N) $*"; }
await() { # SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      say "in vain: $what"
      exit 1
    fi
    sleep 0.05
  done
  say "$what"
}

# Short and constant paths, whatever those of the machine are: they stand in config/, and a socket's has a limit.
run=$target/cluster/run
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/node
mount --bind "$run" /run/node
mount --bind "$target/cluster/bin" /run/node/bin
mount --bind "$target/controlplane/$version" /run/node/kubernetes
cp -r "$here/config" /run/node/config
# Logs in UTC, as the API has its times.
export TZ=UTC
export PATH=/run/node/kubernetes:/run/node/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /run/node
# Paths that no flag changes.
for path in /var/lib/cni /var/lib/kubelet /var/log/containers; do
  mkdir -p "$path"
  mount -t tmpfs tmpfs "$path"
done
mkdir -p /var/log/pods pods
mount --bind pods /var/log/pods
# The kubelet sets these for the whole machine: it is given files that have its values already.
mkdir sysctl
while read -r name value; do
  echo "$value" > "sysctl/${name##*/}"
  mount --bind "sysctl/${name##*/}" "/proc/sys/$name"
done << 'SYSCTL'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SYSCTL
# There is no DNS: look-ups fail at once.
: > resolv.conf
resolv=$(realpath -m /etc/resolv.conf)
mkdir -p "$(dirname "$resolv")"
[ -e "$resolv" ] || : > "$resolv"
mount --bind resolv.conf "$resolv"
# The API server has the address of its own Service, so that pods reach it without a kube-proxy.
ip link set lo up
ip address add $address/32 dev lo
ip address add $kubernetes/32 dev lo
echo 1 > /proc/sys/net/ipv4/ip_forward

openssl genrsa -out accounts.key 2048 2> /dev/null
openssl rsa -in accounts.key -pubout -out accounts.pub 2> /dev/null
echo 'admin,admin,admin,"system:masters"' > tokens.csv
cat > kubeconfig << KUBECONFIG
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://$address", certificate-authority: certificates/apiserver.crt}}]
users: [{name: admin, user: {token: admin}}]
contexts: [{name: node, context: {cluster: node, user: admin}}]
current-context: node
KUBECONFIG
export KUBECONFIG=/run/node/kubeconfig

start() { # NAME COMMAND...
  local name=$1
  shift
  "$@" > "$name.log" 2>&1 &
  names[$!]=$name
}
declare -A names
# Restarted when it ends, as systemd would.
keep() { # NAME COMMAND...
  while :; do
    "${@:2}" || true
    echo "$1 ended, and is started again"
    sleep 0.2
  done
}
start etcd etcd --data-dir=etcd --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
  --listen-peer-urls=http://127.0.0.1:2380 --unsafe-no-fsync --log-level=error
start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir=certificates --secure-port=443 \
  --advertise-address=$address --service-cluster-ip-range=$services --authorization-mode=RBAC --allow-privileged=true \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=accounts.pub \
  --service-account-signing-key-file=accounts.key --token-auth-file=tokens.csv --enable-aggregator-routing=true \
  --kubelet-preferred-address-types=InternalIP
keep containerd containerd --config=config/containerd.toml > containerd.log 2>&1 &
await 20 'containerd answers' ctr version
for images in "$target"/cluster/images/*.tar; do
  ctr --namespace=k8s.io images import --local "$images" > /dev/null
done
say 'the images are there'
await 60 'the API server is ready' kubectl get --raw=/readyz
start kube-controller-manager kube-controller-manager --kubeconfig=kubeconfig --leader-elect=false \
  --service-account-private-key-file=accounts.key --root-ca-file=certificates/apiserver.crt
start kube-scheduler kube-scheduler --kubeconfig=kubeconfig --leader-elect=false
keep kubelet kubelet --config=config/kubelet.yaml --kubeconfig=kubeconfig --root-dir=/run/node/kubelet \
  --cert-dir=certificates --volume-plugin-dir=/run/node/plugins --cgroup-root="/$group" --hostname-override=node \
  --node-ip=$address > kubelet.log 2>&1 &
await 60 'the node is ready' kubectl wait --for=condition=Ready --timeout=1s node/node
await 30 'pods can be created' kubectl get serviceaccount default
touch ready

# If any of them ends, the node ends, so that no test waits for it in vain.
wait -n -p ended || true
say "${names[$ended]-a part} has ended"
exit 1
