import pytest

from support.node_client import Client


@pytest.fixture
async def volume(drive: str, client: Client) -> str:
    """Name of a volume of 20 MiB that is on the drive and mounted nowhere."""
    await client.make_volume(drive, "pvc-1")
    return "pvc-1"
