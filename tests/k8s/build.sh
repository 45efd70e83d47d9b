#!/bin/bash
# build.sh: builds the cluster's programs (every Kubernetes component, etcd, kubectl, helm, CoreDNS) from Go modules and
# prints the folder they are in. The folder lies in the cache, named by a hash of what goes into it, so that nothing is
# built twice. KUBEBUILDER_ASSETS names a ready folder instead.
set -euo pipefail
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then echo "$KUBEBUILDER_ASSETS"; exit 0; fi
cd "$(dirname "$0")/tools"
key=$(cat ../build.sh go.mod go.sum cmd/*/*.go | sha256sum | cut -c1-16)
out=${XDG_CACHE_HOME:-$HOME/.cache}/plenum/k8s-$key
if [ -e "$out/complete" ]; then echo "$out"; exit 0; fi
command -v go >/dev/null || { echo "build.sh: Go is missing: install Go $(awk '/^go /{print $2}' go.mod) or newer" >&2; exit 1; }
mkdir -p "$out"
v=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${v#v}"
p=k8s.io/component-base/version
flags="-s -w -X $p.gitVersion=$v -X $p.gitMajor=$major -X $p.gitMinor=$minor -X $p.gitTreeState=clean"
echo "building Kubernetes $v for the tests: about 8 minutes on two cores, once" >&2
CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$out/" ./cmd/k8s ./cmd/addons >&2
for c in etcd kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet; do ln -sf k8s "$out/$c"; done
for c in helm coredns; do ln -sf addons "$out/$c"; done
touch "$out/complete"
echo "$out"
