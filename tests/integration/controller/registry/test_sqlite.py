"""The registry file: commits are durable, in order, all or nothing, and only by the one who holds the lease."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_common.protocol.errors import Fenced, Unavailable
from directpv_controller.core.placing.model import Snapshot, Writes
from directpv_controller.leading.port import RegistryDamaged, RegistryLost
from directpv_controller.registry.sqlite.life_lock import LifeLock
from directpv_controller.registry.sqlite.registry import SqliteStore, open_store
from integration.controller.harness import read_registry, until

FSUUID = "00000000-0000-0000-0000-000000000001"
DRIVE = m.DriveRecord(fsuuid=FSUUID, node="n1", total=10, overhead=1)


def volume(name: str, capacity: int = 1) -> m.VolumeRecord:
    return m.VolumeRecord(name=name, fsuuid=FSUUID, capacity=capacity)


class Opened:
    """An open store, and the sizes of its batches."""

    def __init__(self, store: SqliteStore, batches: list[int]) -> None:
        self.registry = store.registry
        self.election = store.election
        self.batches = batches


@contextlib.asynccontextmanager
async def opened(path: Path, holder: str = "a", ttl: float = 30.0) -> AsyncIterator[Opened]:
    batches: list[int] = []
    async with open_store(path, holder=holder, ttl=ttl, observe=lambda size, _: batches.append(size)) as store:
        yield Opened(store, batches)


async def test_what_is_committed_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path) as store:
        lease = await store.election.campaign()
        await store.registry.commit(Writes(drives=(DRIVE,), volumes=(volume("v1"), volume("v2"))), lease)
        await store.registry.commit(Writes(volumes=(volume("v1", 5),), removed=(volume("v2"),)), lease)
        was = store.registry.id
    async with opened(path, "b") as store:
        snapshot = await store.registry.load()

        assert (snapshot.drives, snapshot.volumes) == ([DRIVE], [volume("v1", 5)])
        assert store.registry.id == was


async def test_commits_that_arrive_together_share_a_transaction_and_keep_their_order(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db") as store:
        lease = await store.election.campaign()
        store.batches.clear()
        await asyncio.gather(
            *(store.registry.commit(Writes(volumes=(volume("v1", i + 1),)), lease) for i in range(500))
        )

        assert sum(store.batches) == 500
        assert len(store.batches) < 100
        assert (await store.registry.load()).volumes == [volume("v1", 500)]


async def test_a_commit_after_a_take_over_is_fenced_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path, "a", ttl=0.3) as first, opened(path, "b", ttl=3) as second:
        old = await first.election.campaign()
        new = await second.election.campaign()
        assert new.epoch > old.epoch
        assert not old.valid

        with pytest.raises(Fenced):
            await first.registry.commit(Writes(volumes=(volume("stale"),)), old)
        await second.registry.commit(Writes(volumes=(volume("fresh"),)), new)
        assert [record.name for record in read_registry(path).volumes] == ["fresh"]


async def test_a_fenced_commit_does_not_harm_others_in_its_transaction(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path) as store:
        lease = await store.election.campaign()
        await lease.release()
        newer = await store.election.campaign()
        stale = store.registry.commit(Writes(volumes=(volume("stale"),)), lease)
        good = store.registry.commit(Writes(volumes=(volume("good"),)), newer)
        outcomes = await asyncio.gather(stale, good, return_exceptions=True)

        assert isinstance(outcomes[0], Fenced)
        assert outcomes[1] is None
        assert [record.name for record in read_registry(path).volumes] == ["good"]


async def test_only_one_of_many_candidates_leads_and_epochs_grow(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(path, f"c{i}", ttl=1.5)) for i in range(4)]
        campaigns = [asyncio.create_task(store.election.campaign()) for store in stores]
        epochs = []
        for _ in range(4):
            done, _ = await asyncio.wait([c for c in campaigns if c], return_when=asyncio.FIRST_COMPLETED, timeout=20)
            assert len(done) == 1
            (winner,) = done
            campaigns.remove(winner)
            lease = winner.result()
            epochs.append(lease.epoch)
            await lease.release()

        assert epochs == sorted(set(epochs))


async def test_a_kept_lease_stays_valid_beyond_its_length(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path, "a", ttl=0.9) as first, opened(path, "b", ttl=0.9) as second:
        lease = await first.election.campaign()
        keeping = asyncio.create_task(lease.keep())
        rival = asyncio.create_task(second.election.campaign())
        await asyncio.sleep(2.0)  # longer than two leases: that is what is tested

        assert lease.valid
        assert not rival.done()
        keeping.cancel()
        assert (await asyncio.wait_for(rival, 20)).epoch > lease.epoch
        assert not lease.valid


async def test_an_epoch_grows_even_when_an_old_copy_of_the_file_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path) as store:
        lease = await store.election.campaign()
        await lease.release()
    copy = path.read_bytes()
    epochs = [lease.epoch]
    for _ in range(3):
        async with opened(path) as store:
            newer = await store.election.campaign()
            await newer.release()
            epochs.append(newer.epoch)
    path.write_bytes(copy)
    await asyncio.sleep(4.1)  # the calendar must pass the three take-overs, each of which took far less than a second
    async with opened(path) as store:
        restored = await store.election.campaign()

    assert restored.epoch > max(epochs)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_that_is_gone_is_noticed_by_commit_and_by_renewal(tmp_path: Path, how: str) -> None:
    path = tmp_path / "r.db"
    async with opened(path, ttl=0.9) as store:
        lease = await store.election.campaign()
        path.rename(tmp_path / "moved.db")
        if how == "replaced":
            path.write_bytes((tmp_path / "moved.db").read_bytes())

        with pytest.raises(RegistryLost):
            await store.registry.commit(Writes(volumes=(volume("v1"),)), lease)
        assert "deleted or replaced" in await lease.keep()
        assert not lease.valid


async def test_a_registry_in_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="registry"):
        async with opened(tmp_path / "file" / "r.db"):
            pass


async def test_a_newer_version_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(RegistryDamaged, match="version 99"):
        async with opened(path):
            pass


async def test_damage_in_the_middle_of_the_file_is_reported_by_load_and_repaired_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path) as store:
        lease = await store.election.campaign()
        await store.registry.commit(Writes(volumes=tuple(volume(f"v{i}") for i in range(2000))), lease)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)

    async with opened(path) as store:
        with pytest.raises(RegistryDamaged, match="move it away"):
            await store.registry.load()


NONSENSE = [b"{", b"[]", b"", b"\xff\xfe", b'{"name":"v3","fsuuid":"x","capacity":"1"}', b"[" * 100_000]


async def with_bad_rows(path: Path, good: int, bad: list[bytes], table: str = "volumes") -> Snapshot:
    async with opened(path) as store:
        lease = await store.election.campaign()
        await store.registry.commit(Writes(volumes=tuple(volume(f"good{i}") for i in range(good))), lease)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            rows = [(f"bad{number}", data) for number, data in enumerate(bad)]
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
        snapshot: Snapshot = await store.registry.load()
        return snapshot


@pytest.mark.parametrize("table", ["volumes", "drives"])
@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda data: repr(data[:12]))
async def test_one_bad_record_is_named_and_stops_no_other(tmp_path: Path, table: str, nonsense: bytes) -> None:
    snapshot = await with_bad_rows(tmp_path / "r.db", 2, [nonsense], table)

    assert [record.name for record in snapshot.volumes] == ["good0", "good1"]
    (bad,) = snapshot.unreadable
    assert (bad.noun, bad.name) == (table.removesuffix("s"), "bad0")
    assert bad.why


async def test_what_can_be_read_of_a_bad_volume_says_where_it_takes_how_much_room(tmp_path: Path) -> None:
    data = b'{"name":7,"fsuuid":"%s","capacity":5}' % FSUUID.encode()
    (bad,) = (await with_bad_rows(tmp_path / "r.db", 1, [data])).unreadable

    assert (bad.fsuuid, bad.capacity) == (FSUUID, 5)


async def test_a_registry_most_of_whose_records_are_bad_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(RegistryDamaged, match="most records cannot be read, for instance that of bad0"):
        await with_bad_rows(tmp_path / "r.db", 9, [b"{"] * 10)


async def test_states_and_conditions_that_a_later_version_wrote_are_loaded(tmp_path: Path) -> None:
    worn = m.Condition(type=m.ConditionType("Worn"), message="it has worn out", since="")
    later = msgspec.structs.replace(DRIVE, status=m.DriveStatus("Retired"), conditions=(worn,))
    async with opened(tmp_path / "r.db") as store:
        lease = await store.election.campaign()
        await store.registry.commit(Writes(drives=(later,)), lease)

        assert (await store.registry.load()).drives == [later]
        assert b'"Worn"' in (tmp_path / "r.db-wal").read_bytes()


async def test_a_full_disk_refuses_the_commit_and_the_next_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path) as store:
        lease = await store.election.campaign()
        await store.registry.commit(Writes(volumes=(volume("v1"),)), lease)
        big = tuple(volume(f"big{i}") for i in range(1000))
        await store.registry._file.submit(
            lambda connection: connection.execute("PRAGMA max_page_count = 12").fetchall()
        )

        with pytest.raises(Unavailable, match="full"):
            await store.registry.commit(Writes(volumes=big), lease)
        await store.registry.commit(Writes(volumes=(volume("v2"),)), lease)
        assert {record.name for record in read_registry(path).volumes} == {"v1", "v2"}


async def test_commits_after_closing_fail_instead_of_waiting(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db") as store:
        lease = await store.election.campaign()

    with pytest.raises(Unavailable, match="closed"):
        await store.registry.commit(Writes(volumes=(volume("v1"),)), lease)


async def test_two_processes_may_make_the_same_new_file_at_once(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stores = await asyncio.gather(
            *(stack.enter_async_context(opened(tmp_path / "r.db", f"c{i}")) for i in range(4))
        )
        assert len({store.registry.id for store in stores}) == 1
        lease = await stores[0].election.campaign()
        await until(lambda: stores[0].election.reachable and lease.valid, "one leads")


async def test_a_lease_whose_holder_lives_is_not_taken_before_it_expires(tmp_path: Path) -> None:
    async with opened(tmp_path / "r.db", "a") as first, opened(tmp_path / "r.db", "b") as second:
        await first.election.campaign()
        campaign = asyncio.create_task(second.election.campaign())
        assert not (await asyncio.wait({campaign}, timeout=0.5))[0]

        first.election.life.release()  # as the kernel does when the process ends
        async with asyncio.timeout(10):
            assert (await campaign).epoch > 0


async def test_a_lease_that_was_taken_without_the_life_lock_lasts_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    frozen = LifeLock(path)
    frozen.take()
    async with opened(path, "a") as first, opened(path, "b") as second:
        await first.election.campaign()
        frozen.release()
        campaign = asyncio.create_task(second.election.campaign())

        assert not (await asyncio.wait({campaign}, timeout=0.5))[0]
        campaign.cancel()


async def test_an_absurd_epoch_in_the_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with opened(path) as store:
        lease = await store.election.campaign()
        await lease.release()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE lease SET epoch = 999999999999999999")
    async with opened(path) as store:
        assert (await store.election.campaign()).epoch < lease.epoch + 3600
