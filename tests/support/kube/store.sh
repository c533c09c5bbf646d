#!/bin/sh
# Makes a node's disk with images: imports them by a containerd that runs here for as long as that takes, many times
# faster than in a guest. To be run in a mount namespace of its own.
set -eu
disk=$1 programs=$2 work=$3
shift 3
mkfs.ext4 -q -F "$disk"
mkdir "$work/disk"
mount -o loop,noatime "$disk" "$work/disk"
mkdir -p "$work/disk/var/lib/containerd"
cat > "$work/containerd.toml" <<END
version = 3
root = "$work/disk/var/lib/containerd"
state = "$work/state"
[grpc]
  address = "$work/socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/opt"
END
PATH=$programs:$PATH containerd --config "$work/containerd.toml" >"$work/log" 2>&1 &
trap 'tail -n 50 "$work/log" >&2' EXIT
ctr() { "$programs/ctr" --address "$work/socket" --namespace k8s.io "$@"; }
for attempt in $(seq 300); do
    ! ctr version >/dev/null 2>&1 || break
    sleep 0.1
done
for archive; do ctr images import "$archive" >/dev/null; done
kill $!
wait $! || true
umount "$work/disk"
trap - EXIT
