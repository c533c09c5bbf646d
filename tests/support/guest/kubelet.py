"""Uses volumes through the gateway's CSI socket, as kubelet does on its node."""

from pathlib import Path

from directpv_cli.local.csi_client import capability
from directpv_common.protocol.messages import VolumeRecord
from directpv_common.protocol.names import DRIVE, VOLUME_SIZE
from directpv_csi_gateway.pb import csi_pb2
from support.guest.client import Done
from support.guest.node import Node


class Kubelet:
    """One volume, staged at one path and published at one; paths are the guest's. Knows what CreateVolume told."""

    def __init__(self, node: Node, record: VolumeRecord) -> None:
        self.node, self.name = node, record.name
        self.context = {DRIVE: record.fsuuid, VOLUME_SIZE: str(record.capacity)}
        self.staging = f"/var/lib/kubelet/plugins/{self.name}/globalmount"
        self.target = f"/var/lib/kubelet/pods/{self.name}/mount"

    async def start(self) -> None:
        """Stage and publish; raises grpclib's GRPCError."""
        await self.node.hand.run("mkdir", "-p", self.staging, str(Path(self.target).parent))
        async with self.node.csi() as csi:
            await csi.node.NodeStageVolume(
                csi_pb2.NodeStageVolumeRequest(
                    volume_id=self.name,
                    staging_target_path=self.staging,
                    volume_capability=capability(),
                    volume_context=self.context,
                )
            )
            await csi.node.NodePublishVolume(
                csi_pb2.NodePublishVolumeRequest(
                    volume_id=self.name,
                    staging_target_path=self.staging,
                    target_path=self.target,
                    volume_capability=capability(),
                    volume_context=self.context,
                )
            )

    async def stop(self) -> None:
        """Unpublish and unstage."""
        async with self.node.csi() as csi:
            await csi.node.NodeUnpublishVolume(
                csi_pb2.NodeUnpublishVolumeRequest(volume_id=self.name, target_path=self.target)
            )
            await csi.node.NodeUnstageVolume(
                csi_pb2.NodeUnstageVolumeRequest(volume_id=self.name, staging_target_path=self.staging)
            )

    async def expand(self, size: int) -> int:
        """Ask for a capacity of ``size`` bytes; return the one that it has."""
        wanted = csi_pb2.CapacityRange(required_bytes=size)
        async with self.node.csi() as csi:
            reply = await csi.node.NodeExpandVolume(
                csi_pb2.NodeExpandVolumeRequest(
                    volume_id=self.name,
                    volume_path=self.target,
                    staging_target_path=self.staging,
                    capacity_range=wanted,
                )
            )
        return int(reply.capacity_bytes)

    # ---- what a pod would see ------------------------------------------------------------------------------------

    async def write(self, name: str, size: int) -> Done:
        """Write ``size`` bytes to a new file, and have them on the disk before it returns."""
        script = f"head -c {size} /dev/zero | dd of={self.target}/{name} bs=64k iflag=fullblock conv=fsync status=none"
        return await self.node.hand.attempt("sh", "-c", script)

    async def fill(self, name: str) -> int:
        """Write to a file until there is no space left; return how many bytes it took."""
        path = f"{self.target}/{name}"
        done = await self.node.hand.attempt("dd", "if=/dev/zero", f"of={path}", "bs=4k", "conv=fsync", "count=100000")
        assert "No space left on device" in done.err, done
        return int(await self.node.hand.run("stat", "-c", "%s", path))

    async def space(self) -> tuple[int, int]:
        """Return size and available bytes, as ``df`` shows them."""
        shown = await self.node.hand.run("df", "-B1", "--output=size,avail", self.target)
        size, available = shown.splitlines()[1].split()
        return int(size), int(available)
