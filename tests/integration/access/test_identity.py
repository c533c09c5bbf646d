"""Who shows no key, a wrong one, or one that was taken away, is told so once, and asks no more."""

import asyncio
from pathlib import Path

import pytest

from directpv_common.access.nkey import Nkey, new_nkey, parse_seed, read_seed, write_seed
from directpv_common.bus.connecting import connect_bus
from directpv_common.protocol.errors import InvalidRequest, Refused
from integration.access.conftest import World, settings
from support.nats import NatsServer


@pytest.mark.parametrize("nkey", [None, new_nkey()])
@pytest.mark.parametrize("within", [5.0, None])
async def test_who_is_not_known_is_refused_at_once_and_told_what_to_give(
    server: NatsServer, nkey: Nkey | None, within: float | None
) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(Refused, match="nats-nkey") as refused:
            async with connect_bus(server.url, name="test", prefix="directpv.v1", within=within, nkey=nkey):
                raise AssertionError("it was let in")
    assert (nkey.public if nkey else "without a key") in refused.value.message


async def test_a_user_who_is_taken_out_is_cut_off_and_does_not_come_back(world: World) -> None:
    bus = world.buses["gateway"]
    left = {name: key for name, key in world.keys.items() if name != "gateway"}
    world.server.reload(settings(left))
    async with asyncio.timeout(30):
        await bus.ended.wait()
    assert not bus.connected
    assert world.buses["controller"].connected
    with pytest.raises(Refused):
        async with connect_bus(world.server.url, name="t", prefix="directpv.v1", nkey=world.keys["gateway"]):
            raise AssertionError("it was let in")


def test_a_key_is_the_same_after_it_was_kept_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    key = new_nkey()
    write_seed(tmp_path / "seed", key)

    assert read_seed(tmp_path / "seed").public == key.public
    assert (tmp_path / "seed").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_seed(tmp_path / "seed", new_nkey())


def _mistyped() -> str:
    seed = new_nkey().seed
    return seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]


@pytest.mark.parametrize("text", ["", "S", "SUxx", "hello world", "ä", "a public key", "a mistyped seed"])
def test_what_is_no_seed_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    text = {"a public key": new_nkey().public, "a mistyped seed": _mistyped()}.get(text, text)
    (tmp_path / "seed").write_text(text)

    with pytest.raises(InvalidRequest, match="begins with SU") as refused:
        read_seed(tmp_path / "seed")
    assert str(tmp_path / "seed") in refused.value.message
    assert len(text) < 3 or text not in refused.value.message


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidRequest, match="/nowhere/seed cannot be read: No such file"):
        read_seed(Path("/nowhere/seed"))


def test_a_seed_of_somebody_elses_tool_is_understood() -> None:
    """From the documentation of NATS on nkeys: the key that its server and its tools derive from this seed."""
    seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"

    assert parse_seed(seed).public == "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
