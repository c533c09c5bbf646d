"""A volume's size is a limit that holds: in the kernel, not in somebody's head."""

from support.guest.lab import Lab
from support.node_client import MIB

STAGING = "/var/lib/kubelet/plugins/pvc-1/globalmount"
TARGET = "/var/lib/kubelet/pods/p1/mount"


async def test_quota_binds(lab: Lab) -> None:
    node, _, drives = await lab.node_with_drives(drives=1)
    hand = node.hand
    await node.client.make_volume(drives[0], "pvc-1", 20)
    await hand.sh("mkdir -p /var/lib/kubelet/plugins/pvc-1 /var/lib/kubelet/pods/p1")
    await node.client.stage("pvc-1", STAGING)
    await node.client.publish("pvc-1", STAGING, TARGET)
    done = await hand.attempt("dd", "if=/dev/zero", f"of={TARGET}/f", "bs=1M", "count=21")
    assert "No space left" in done.err
    print(await hand.sh(f"df -B1 {TARGET}"))
    assert str(20 * MIB) in await hand.sh(f"df -B1 --output=size {TARGET}")
