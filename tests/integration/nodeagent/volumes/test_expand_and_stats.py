"""Volumes grow through the real agent, and their use is told, on a real XFS; no controller anywhere."""

from pathlib import Path

import pytest

from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import NotFound, OutOfRange
from directpv_common.protocol.messages import ExpandNodeVolume, GetVolumeUsage, StatVolume, VolumeRecord, VolumeStats
from integration.nodeagent.orders import UNKNOWN
from support.node_client import MIB, Client


class TestExpandAndStats:
    async def expand(self, client: Client, path: Path, required: int, limit: int = 0) -> int:
        request = ExpandNodeVolume(name="pvc-1", volume_path=str(path), required=required, limit=limit)
        return (await client.ask(Node.VOLUME_EXPAND, request)).capacity  # type: ignore[no-any-return]

    async def test_a_mounted_volume_grows_and_never_shrinks(
        self, drive: str, volume: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")

        assert await self.expand(client, pods / "s", 30 * MIB) == 30 * MIB
        assert await self.expand(client, pods / "s", 10 * MIB) == 30 * MIB
        assert await self.expand(client, pods / "s", 0) == 30 * MIB
        assert (await client.held(drive)).volumes[0].record.capacity == 30 * MIB

    async def test_a_drive_is_never_promised_twice(self, drive: str, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")
        record = (await client.held(drive)).record
        everything = record.total - record.overhead

        with pytest.raises(OutOfRange):
            await self.expand(client, pods / "s", everything + 1)
        assert await self.expand(client, pods / "s", everything) == everything
        assert await client.prepare(record_of(drive, "pvc-2", 1)) != {}

    async def test_a_path_where_the_volume_is_not_mounted_is_not_found(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")

        for path in (pods, pods / "missing"):
            with pytest.raises(NotFound):
                await self.expand(client, path, 30 * MIB)
            with pytest.raises(NotFound):
                await client.ask(Node.VOLUME_STATS, StatVolume(name=volume, volume_path=str(path)))

    async def test_stats_count_bytes_and_files(self, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")
        (pods / "s/dir").mkdir()
        (pods / "s/dir/file").write_bytes(b"x" * MIB)

        stats: VolumeStats = await client.ask(Node.VOLUME_STATS, StatVolume(name=volume, volume_path=str(pods / "s")))

        assert stats.total == 20 * MIB
        assert MIB <= stats.used < 2 * MIB
        assert stats.available == stats.total - stats.used
        assert stats.inodes_used == 3
        assert stats.inodes_total == stats.inodes_used + stats.inodes_free
        assert not stats.abnormal

    async def test_how_full_a_volume_is_is_told_also_while_it_is_mounted_nowhere(
        self, volume: str, drive: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")
        (pods / "s/file").write_bytes(b"x" * MIB)
        asked = StatVolume(name=volume, volume_path=str(pods / "s"))
        staged: VolumeStats = await client.ask(Node.VOLUME_STATS, asked)
        await client.unstage(volume, pods / "s")

        usage: VolumeStats = await client.ask(Node.VOLUME_USAGE, GetVolumeUsage(name=volume, fsuuid=drive))

        assert (usage.total, usage.used, usage.inodes_used) == (staged.total, staged.used, staged.inodes_used)
        assert (usage.total, usage.inodes_used) == (20 * MIB, 2)
        for name, where in (("pvc-none", drive), (volume, UNKNOWN)):
            with pytest.raises(NotFound):
                await client.ask(Node.VOLUME_USAGE, GetVolumeUsage(name=name, fsuuid=where))


def record_of(drive: str, name: str, capacity: int) -> VolumeRecord:
    return VolumeRecord(name=name, fsuuid=drive, capacity=capacity)
