"""Device events, from a real udevd and from the kernel."""

import asyncio
import contextlib
import errno
import os
import socket
from pathlib import Path

import pytest

from directpv_nodeagent.devices.udev_monitor import _UDEV_QUEUE, UdevMonitor, best_source, settled
from integration.nodeagent.harness import run

BURST = 3000


class Heard:
    """What the monitor told, and a way to wait for it."""

    def __init__(self):
        self.names = []
        self._more = asyncio.Event()

    def __call__(self, name):
        self.names.append(name)
        self._more.set()

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition(self.names):
                self._more.clear()
                await self._more.wait()


@contextlib.asynccontextmanager
async def listening(monitor):
    heard = Heard()
    task = asyncio.create_task(monitor.run(heard))
    try:
        await heard.until(bool)
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def poke(device):
    """Have the kernel emit a change event for a device of the test's own."""
    Path(f"/sys/class/block/{device.name}/uevent").write_text("change\n")


async def test_the_first_thing_told_is_to_look_at_everything(udevd):
    async with listening(UdevMonitor()) as heard:
        assert heard.names[0] is None


@pytest.mark.parametrize("source", ["udev", "kernel"])
async def test_a_change_of_a_device_is_told_by_its_name(loop, udevd, source):
    device = loop()
    async with listening(UdevMonitor(source)) as heard:
        poke(device)
        await heard.until(lambda names: device.name in names)


async def test_devices_that_come_and_go_are_told(loop, udevd):
    async with listening(UdevMonitor()) as heard:
        device = await asyncio.to_thread(loop)
        await heard.until(lambda names: device.name in names)
        heard.names.clear()
        await asyncio.to_thread(device.remove)
        await heard.until(lambda names: device.name in names)
        assert not Path(f"/sys/class/block/{device.name}").exists()


async def test_a_new_file_system_is_told_when_udev_has_written_it_down(loop, udevd, leave):
    device = loop()
    # udev hears of who writes only once it has finished with the new device; what is written before, it does not see
    await asyncio.to_thread(run, "udevadm", "settle", "--timeout=45")
    async with listening(UdevMonitor("udev")) as heard:
        await asyncio.to_thread(leave, "xfs", device)
        number = os.stat(device.path).st_rdev
        record = Path(f"/run/udev/data/b{os.major(number)}:{os.minor(number)}")
        await heard.until(lambda names: device.name in names and "ID_FS_TYPE=xfs" in record.read_text())


async def test_events_that_were_lost_are_told_as_look_at_everything_and_later_ones_are_heard(loop, udevd):
    device, other = loop(), loop()
    monitor = UdevMonitor("kernel", buffer_bytes=4096)
    async with listening(monitor) as heard:
        for _ in range(BURST):
            poke(device)
        told = len(heard.names)
        await heard.until(lambda names: None in names[told:])
        assert monitor.lost >= 1
        poke(other)
        await heard.until(lambda names: other.name in names)


async def test_a_burst_of_events_does_not_keep_the_loop_from_other_work(loop, udevd):
    device = loop()
    monitor = UdevMonitor("kernel")
    async with listening(monitor) as heard:
        for _ in range(BURST):
            poke(device)
        turns = 0
        async with asyncio.timeout(20):
            while heard.names.count(device.name) < BURST:
                await asyncio.sleep(0)
                turns += 1
        assert monitor.lost == 0
        assert turns > 5


class BrokenMonitor:
    """Stands for a netlink socket that fails for good, which cannot be had on purpose."""

    def __init__(self):
        self._ends = socket.socketpair()
        self._ends[0].send(b"readable")

    def fileno(self):
        return self._ends[1].fileno()

    def poll(self, timeout):
        raise OSError(errno.EIO, "broken")

    def close(self):
        for end in self._ends:
            end.close()


async def test_a_socket_that_keeps_failing_is_replaced(loop, udevd, monkeypatch):
    monkeypatch.setattr("directpv_nodeagent.devices.udev_monitor.RETRY_SECONDS", 0.01)
    device, broken = loop(), BrokenMonitor()

    class BrokenAtFirst(UdevMonitor):
        opened = 0

        def _open(self):
            self.opened += 1
            return broken if self.opened == 1 else super()._open()

    with contextlib.closing(broken):
        async with listening(BrokenAtFirst("kernel")) as heard:
            await heard.until(lambda names: names.count(None) == 2)
            poke(device)
            await heard.until(lambda names: device.name in names)


def test_udev_is_listened_to_where_it_runs(udevd):
    assert best_source() == "udev"


async def test_nothing_is_looked_at_while_udev_works_on_events(udevd, monkeypatch, tmp_path):
    queue = tmp_path / "queue"
    monkeypatch.setattr("directpv_nodeagent.devices.udev_monitor._UDEV_QUEUE", queue)
    queue.touch()
    waiting = asyncio.create_task(settled(60))

    assert await asyncio.wait({waiting}, timeout=0.1) == (set(), {waiting})
    queue.unlink()

    await asyncio.wait_for(waiting, 20)


async def test_events_that_never_end_are_not_waited_for_for_ever(udevd, monkeypatch, tmp_path):
    queue = tmp_path / "queue"
    monkeypatch.setattr("directpv_nodeagent.devices.udev_monitor._UDEV_QUEUE", queue)
    queue.touch()

    await asyncio.wait_for(settled(0.1), 20)


async def test_udevs_queue_is_where_it_is_looked_for(loop, udevd):
    device = loop()

    async def seen():
        while True:
            poke(device)
            for _ in range(100):  # until udev is certainly done with it, so that its events do not pile up
                if _UDEV_QUEUE.exists():
                    return
                await asyncio.sleep(0.001)

    await asyncio.wait_for(seen(), 20)
