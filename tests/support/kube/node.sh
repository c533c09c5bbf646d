#!/bin/sh
# Makes a guest a machine that a kubelet can run on; the disk keeps what a node keeps when its power fails.
set -eu
disk=$1 subnet=$2 gateway=$3

modprobe -d /run/modules -a overlay veth bridge br_netfilter ip_tables iptable_nat iptable_filter iptable_mangle \
    xt_MASQUERADE xt_comment xt_statistic xt_conntrack xt_addrtype xt_mark xt_nat xt_recent ipt_REJECT nf_conntrack_netlink
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done

mkdir -p /run/state /run/bin /run/cni
mount -o noatime "$disk" /run/state
mount --make-private /run/state # or else what is mounted at the places below would be mounted here, too
for place in /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/lib/directpv /var/lib/direct-csi /var/log; do
    mkdir -p "$place" "/run/state$place"
    mount --bind "/run/state$place" "$place"
    mount --make-rshared "$place"
done
mkdir -p /var/log/pods /var/log/containers

# cAdvisor wants to know how fast the processor is, which this kernel does not tell.
{ cat /proc/cpuinfo; echo "cpu MHz		: 2000.000"; } > /run/cpuinfo
mount --bind /run/cpuinfo /proc/cpuinfo

# Who has a user namespace of his own may mount only what is wholly to be seen in some place already.
mkdir -p /run/proc
mount -t proc proc /run/proc

# udev has a program set parameters of each network card: of every pod's, where it is not asked for any.
mkdir -p /run/udev/rules.d
echo 'SUBSYSTEM=="net", RUN=""' > /run/udev/rules.d/99-zz-no-programs.rules
udevadm control --reload

# This kernel has the older kind of packet filter. Without one for IPv6, which nobody uses here, half as much is written.
for name in iptables iptables-save iptables-restore; do
    ln -sf "/usr/sbin/$(echo $name | sed 's/tables/tables-legacy/')" /run/bin/$name
done
for name in ip6tables ip6tables-save ip6tables-restore; do ln -sf /bin/false /run/bin/$name; done

# In a guest a container starts in two thirds of the time with crun, which is not written in Go. Debian's knows the
# runtime specification up to 1.0.2; nothing of what containerd says in the name of a later one is used here.
cat > /run/bin/oci <<'END'
#!/bin/sh
before=
for word; do
    [ "$before" != --bundle ] || sed -i 's/"ociVersion":"[0-9.]*"/"ociVersion":"1.0.2"/' "$word/config.json"
    before=$word
done
exec crun "$@"
END
chmod +x /run/bin/oci
echo 1 > /proc/sys/net/ipv4/ip_forward
ip route add default via "$gateway"
echo "nameserver $gateway" > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf

cat > /run/cni/10-test.conflist <<END
{
  "cniVersion": "0.4.0", "name": "test",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "$subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
  ]
}
END
cat > /run/containerd.toml <<'END'
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
# Nobody looks at what containers use, and to ask for it each second takes a third of a guest's time.
[plugins."io.containerd.cri.v1.runtime"]
  stats_collect_period = "1h"
[plugins."io.containerd.monitor.task.v1.cgroups"]
  no_prometheus = true
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "/run/cni"
  use_internal_loopback = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "/run/bin/oci"
# For pods with hostUsers: false; is what scripts/build-kubernetes built, if it did.
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.own-ids]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.own-ids.options]
  BinaryName = "runc"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.k8s.io/pause:3.10"
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/containerd-opt"
[plugins."io.containerd.metadata.v1.bolt"]
  no_sync = true
END
