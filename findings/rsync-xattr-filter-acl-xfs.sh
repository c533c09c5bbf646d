#!/bin/sh
# rsync -AX with any filter on names of attributes fails on XFS where a directory has a default ACL; on ext4 it does not.
#
# Versions: rsync 3.5.0 (Debian 3.5.0+ds1-0+deb12u1), Linux with XFS; run as root (it mounts loop devices of its own).
# Valid input: a directory with a default ACL, and in it a file without ACL, which was moved there. The copy's file
# inherits an ACL when rsync makes it, and rsync takes that away again. XFS lists one ACL under two names,
# system.posix_acl_access and trusted.SGI_ACL_FILE; without a filter rsync leaves out system.* by itself (rsync(1),
# "xattr filter"), and removes the second name alone. With a filter on something else it removes both, and the second is
# gone by then: exit status 23. A second filter "-x system.*" helps.
# Output seen:
#   xfs, 0 filters: 0
#   xfs, 1 filters: 23 (trusted.SGI_ACL_FILE: No data available)
#   xfs, 2 filters: 0
#   ext4, 1 filters: 0
set -eu
folder=$(mktemp -d)
trap 'for each in xfs ext4; do umount "$folder/$each" 2>/dev/null || true; done; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq rsync=3.5.0+ds1-0+deb12u1 >/dev/null 2>&1
dpkg-deb -x rsync_*.deb "$folder/tool"
for each in xfs ext4; do
    truncate -s 320M "$each.img"
    "mkfs.$each" -q "$each.img"
    mkdir "$each"
    mount -o loop "$each.img" "$each"
done

copy() { # file system, then filters; prints the exit status
    top=$folder/$1/$(date +%N)
    system=$1
    shift
    mkdir -p "$top/from/place" "$top/to"
    echo data >"$top/from/file"
    setfacl -m d:g:4343:rx "$top/from/place"
    mv "$top/from/file" "$top/from/place/file"
    status=0
    "$folder/tool/usr/bin/rsync" -aAX "$@" "$top/from/" "$top/to/" >"$folder/said" 2>&1 || status=$?
    why=$(grep -o 'trusted.SGI_ACL_FILE.*: No data available' "$folder/said" | head -n 1 || true)
    echo "$system, $# filters: $status${why:+ (${why%%\"*}: No data available)}"
}

copy xfs >seen
copy xfs '--filter=-x user.other' >>seen
copy xfs '--filter=-x user.other' '--filter=-x system.*' >>seen
copy ext4 '--filter=-x user.other' >>seen
cat seen
cat >wanted <<'TEXT'
xfs, 0 filters: 0
xfs, 1 filters: 23 (trusted.SGI_ACL_FILE: No data available)
xfs, 2 filters: 0
ext4, 1 filters: 0
TEXT
cmp -s seen wanted || { echo "this has changed"; exit 1; }
