#!/bin/sh
# First process of a guest, whose root is this machine's own, read-only. What a guest writes is gone with it, except
# what is on its disks. Settings come from the kernel command line as dpv.<name>=<value>.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
read -r line < /proc/cmdline
for word in $line; do
    case $word in # by the shell itself: each process takes tens of milliseconds here
        dpv.*=*) word=${word#dpv.}; eval "${word%%=*}=\${word#*=}" ;;
    esac
done
project=${hand%/tests/support/guest/hand.py}
mount -t tmpfs tmpfs /run
mkdir /run/project
mount --bind "$project" /run/project
for dir in /tmp /var/lib /var/tmp; do mount -t tmpfs tmpfs $dir; done
if ! [ -d "$project" ]; then # the project lies in a directory that is the guest's own now
    mkdir -p "$project"
    mount --bind /run/project "$project"
fi
mount --make-rshared /
mkdir -p /dev/shm /dev/pts /run/modules/lib/modules /run/lock /var/lib/kubelet
mount -t tmpfs tmpfs /dev/shm

printf '%s\n' 'link set lo up' "address add $address dev $interface" "link set $interface up" | ip -batch -
hostname "$name"

# The kernel asks for modules by /sbin/modprobe, which looks where this machine has none for the guest's kernel.
ln -s "$modules" "/run/modules/lib/modules/$(uname -r)"
printf '#!/bin/sh\nexec modprobe -d /run/modules "$@"\n' > /run/modprobe
chmod +x /run/modprobe
echo /run/modprobe > /proc/sys/kernel/modprobe

/lib/systemd/systemd-udevd --daemon
exec "$python" -S "$hand" "$port" # which needs nothing but the standard library
