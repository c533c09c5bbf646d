#!/bin/sh
# systemd-udevd 252, where /run is on a disk and not in memory, as in a container: after its third start it no longer
# notices who writes to a device.
#
# At its start udevd moves /run/udev/watch away to watch.old, and sets the watches that are noted there anew; before, it
# deletes the watch.old of the start before. It refuses to delete on any file system that is not one in memory
# ("Attempted to remove disk file system", shown with --debug only), so that the third start cannot move anything, and
# notes its watches between those of devices that are long gone. A number that stands there already is refused ("Failed
# to add inotify watch, ignoring: File exists"), the watch is dropped, and what is written later, a new file system for
# instance, is told to nobody until something else happens to the device.
# Version: Debian 12's udev. Valid input: udevd started, asked to settle, ended by SIGTERM, three times; run as root, with
# mounts, device files and a network namespace of its own, and loop devices over files of its own.
# Output seen:
#   udev 252.39-1~deb12u2
#   tmpfs, start 1: 2 of 2 writes told
#   tmpfs, start 2: 2 of 2 writes told
#   tmpfs, start 3: 8 of 8 writes told
#   disk, start 1: 2 of 2 writes told
#   disk, start 2: 2 of 2 writes told
#   disk, start 3: 2 of 8 writes told
set -eu
script=$(realpath "$0")
version=252.39-1~deb12u2
if [ "${1-}" != inside ]; then
    folder=$(mktemp -d)
    cd "$folder"
    for number in 1 2 3; do truncate -s 16M "$number"; losetup --find --show "$folder/$number"; done >devices
    trap 'xargs -n 1 losetup --detach <"$folder/devices"; rm -rf "$folder"' EXIT
    apt-get download -qq "udev=$version" >/dev/null 2>&1
    dpkg-deb -x udev_*.deb tool
    unshare --mount --net --propagation private "$script" inside "$folder" >seen
    echo "udev $version" | cat - seen
    cat >wanted <<'TEXT'
tmpfs, start 1: 2 of 2 writes told
tmpfs, start 2: 2 of 2 writes told
tmpfs, start 3: 8 of 8 writes told
disk, start 1: 2 of 2 writes told
disk, start 2: 2 of 2 writes told
disk, start 3: 2 of 8 writes told
TEXT
    cmp -s seen wanted || { echo "this has changed"; exit 1; }
    exit
fi

folder=$2
cd "$folder"
ln -s tool/bin/udevadm systemd-udevd
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mkdir -p /run/udev

told() { # device, number: how many of so many writes udev tells, each a second after the one before
    timeout 60 "$folder/tool/bin/udevadm" monitor --udev --subsystem-match=block >heard &
    monitor=$!
    for _ in $(seq 100); do grep -q "after rule" heard && break; sleep 0.1; done
    for _ in $(seq "$2"); do
        dd if=/dev/zero of="$1" bs=512 count=1 conv=notrunc 2>/dev/null
        sleep 1
    done
    kill "$monitor"
    wait "$monitor" || true
    grep -c "change .*/${1#/dev/} " heard || true
}

for kind in tmpfs disk; do
    mkdir "$kind"
    if [ "$kind" = tmpfs ]; then mount -t tmpfs none "$kind"; fi
    mount --bind "$kind" /run/udev
    for start in 1 2 3; do
        rm -f /dev/loop*
        device=$(sed -n "${start}p" devices)
        mknod "$device" b 7 "${device#/dev/loop}"
        "$folder/systemd-udevd" 2>/dev/null &
        daemon=$!
        until [ -S /run/udev/control ]; do sleep 0.1; done
        "$folder/tool/bin/udevadm" trigger --action=add --settle "/sys/class/block/${device#/dev/}"
        if [ "$start" = 3 ]; then writes=8; else writes=2; fi
        echo "$kind, start $start: $(told "$device" "$writes") of $writes writes told"
        kill "$daemon"
        wait "$daemon" || true
        rm -f /run/udev/control
    done
    umount /run/udev
done
