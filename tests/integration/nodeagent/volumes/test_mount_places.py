"""Where the real agent mounts a volume and where it does not: links, files, foreign mounts, what lies below."""

from pathlib import Path

import pytest

from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest
from integration.nodeagent.harness import AgentProcess, mounts_below, run, wait_until
from support.node_client import Client


class TestPaths:
    @pytest.mark.parametrize("path", ["/", "/a/../b", "/..", "//", "/."])
    async def test_paths_that_lead_elsewhere_are_refused(self, volume: str, client: Client, path: str) -> None:
        with pytest.raises(InvalidRequest, match="staging_target_path"):
            await client.stage(volume, path)

    async def test_drives_themselves_are_no_place_to_mount(
        self, drive: str, volume: str, client: Client, base: Path
    ) -> None:
        for path in (base / "root-n1", base / "root-n1/mnt" / drive, base / "root-n1/mnt" / drive / "pvc-1"):
            with pytest.raises(InvalidRequest):
                await client.stage(volume, path)
            with pytest.raises(InvalidRequest):
                await client.unpublish(volume, path)
        assert (base / "root-n1/mnt" / drive / "pvc-1").is_dir()

    async def test_a_link_as_target_is_not_followed(self, volume: str, client: Client, pods: Path) -> None:
        (pods / "elsewhere").mkdir()
        (pods / "t").symlink_to(pods / "elsewhere")
        await client.stage(volume, pods / "s")

        with pytest.raises(FailedPrecondition, match="not a directory"):
            await client.publish(volume, pods / "s", pods / "t")
        assert mounts_below(pods / "elsewhere") == []

    async def test_a_link_on_the_way_is_followed_and_the_repeat_finds_the_mount(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        (pods / "real").mkdir()
        (pods / "link").symlink_to(pods / "real")

        for _ in range(2):
            await client.stage(volume, pods / "link/s")
            await client.publish(volume, pods / "link/s", pods / "link/t")

        assert sorted(mounts_below(pods)) == [str(pods / "real/s"), str(pods / "real/t")]
        await client.unpublish(volume, pods / "link/t")
        await client.unstage(volume, pods / "link/s")
        assert mounts_below(pods) == []

    async def test_a_blank_in_a_path_is_no_obstacle(self, volume: str, client: Client, pods: Path) -> None:
        for _ in range(2):
            await client.stage(volume, pods / "a b\\c")
        await client.unstage(volume, pods / "a b\\c")
        assert mounts_below(pods) == []

    async def test_a_missing_parent_is_not_made(self, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")

        with pytest.raises(FailedPrecondition, match="kubelet"):
            await client.publish(volume, pods / "s", pods / "no/t")
        assert not (pods / "no").exists()

    async def test_a_file_as_target_is_refused_and_kept(self, volume: str, client: Client, pods: Path) -> None:
        (pods / "t").write_text("mine")
        await client.stage(volume, pods / "s")

        with pytest.raises(FailedPrecondition):
            await client.publish(volume, pods / "s", pods / "t")
        with pytest.raises(FailedPrecondition):
            await client.unpublish(volume, pods / "t")
        assert (pods / "t").read_text() == "mine"

    async def test_a_foreign_mount_is_neither_covered_nor_taken_away(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        (pods / "s").mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1m", "foreign", str(pods / "s"))
        (pods / "s/file").touch()

        for call in (client.stage(volume, pods / "s"), client.unstage(volume, pods / "s")):
            with pytest.raises(FailedPrecondition, match="foreign"):
                await call
        assert (pods / "s/file").exists()

    async def test_content_below_an_unmounted_target_is_never_deleted_and_keeps_no_pod_from_leaving(
        self, agent: AgentProcess, volume: str, client: Client, pods: Path
    ) -> None:
        (pods / "t").mkdir()
        (pods / "t/leaked").write_text("not the volume's")

        await client.unpublish(volume, pods / "t")

        assert (pods / "t/leaked").exists()
        wait_until(lambda: "leaked" in agent.log_text(), "it is told by name")

    async def test_mounts_on_top_of_each_other_are_all_taken_away(
        self, volume: str, client: Client, pods: Path
    ) -> None:
        await client.stage(volume, pods / "s")
        run("mount", "--bind", str(pods / "s"), str(pods / "s"))

        await client.unstage(volume, pods / "s")

        assert mounts_below(pods) == []

    async def test_a_volume_in_use_is_taken_away_all_the_same(self, volume: str, client: Client, pods: Path) -> None:
        await client.stage(volume, pods / "s")
        await client.publish(volume, pods / "s", pods / "t")

        with (pods / "t/open").open("w") as file:
            await client.unpublish(volume, pods / "t")
            file.write("still written")

        assert not (pods / "t").exists()
        assert (pods / "s/open").read_text() == "still written"
