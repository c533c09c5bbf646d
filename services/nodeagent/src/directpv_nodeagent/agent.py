"""The agent's parts, put together: what it serves, and what runs beside it."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import Final

from prometheus_client import CollectorRegistry

from directpv_common.access.nkey import key_of
from directpv_common.bus.bus import Bus
from directpv_common.bus.connecting import connect_bus, node_inbox
from directpv_common.bus.events import Events
from directpv_common.bus.service import Handlers, serve
from directpv_common.process.lifecycle import background, leaves
from directpv_common.process.monitoring import Monitor, serve_http
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Unavailable
from directpv_nodeagent.config import Config
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.udev_monitor import UdevMonitor
from directpv_nodeagent.drives.changing.devices import Devices
from directpv_nodeagent.drives.changing.locating import Locating
from directpv_nodeagent.drives.changing.moved import Moved
from directpv_nodeagent.drives.changing.release import Releases
from directpv_nodeagent.drives.changing.repair import Repairs
from directpv_nodeagent.drives.core.orders import Fences
from directpv_nodeagent.drives.filesystem import xfs
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.renewal import Renewal
from directpv_nodeagent.drives.taken.turns import Turns
from directpv_nodeagent.drives.watching.evasion import EvasionWatch
from directpv_nodeagent.drives.watching.growth import Growth
from directpv_nodeagent.drives.watching.health import HealthWatch
from directpv_nodeagent.drives.watching.scanner import Scanner
from directpv_nodeagent.linux.executor import DriveExecutors
from directpv_nodeagent.linux.quota import NO_KERNEL_QUOTA, kernel_lacks_quota
from directpv_nodeagent.serving.drive_metrics import DriveNow
from directpv_nodeagent.serving.health import Healths, left_behind
from directpv_nodeagent.serving.heartbeat import Heartbeat
from directpv_nodeagent.serving.joining import Joining
from directpv_nodeagent.serving.metrics import NodeCollector, registry_with
from directpv_nodeagent.serving.sampler import Sampler
from directpv_nodeagent.serving.tell import Teller
from directpv_nodeagent.volumes.leader_orders import LeaderOrders
from directpv_nodeagent.volumes.moving.moves import Moves
from directpv_nodeagent.volumes.node_path import NodeVolumes
from directpv_nodeagent.volumes.purging import Purging
from directpv_nodeagent.volumes.staging import Staging
from directpv_nodeagent.volumes.work import VolumeWork

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0


class Agent:
    """One node's agent. Drives are mounted and watched whether or not the bus is there."""

    def __init__(self, config: Config) -> None:
        """Make directories and parts; nothing runs yet. Blocking, but only on the agent's own directory.

        Raises:
            OSError: The root directory cannot be used.
        """
        self._config = config
        os.makedirs(config.root, mode=0o755, exist_ok=True)
        root = os.path.realpath(config.root)
        xfs.prepare_root(root)
        self._teller = Teller()
        host = Host(config.node_name, root, config.topology, quota_required=config.quota == "required")
        executors = DriveExecutors()
        turns = Turns(executors)
        prober, renewal = Prober(patterns=config.devices), Renewal(executors, turns)
        self.drives = Drives(host, prober, executors, renewal, self._teller.emit)
        work = VolumeWork(self.drives, turns, self._teller.emit, xfs.mount_stand_in(root))
        fences = Fences()
        self._staging = Staging(work)
        self._volumes = NodeVolumes(work)
        self._purges = Purging(work)
        self._moves = Moves(work, fences)
        self._orders = LeaderOrders(work, fences, self._purges, self._moves)
        self._devices = Devices(work, fences)
        self._moved = Moved(work, fences)
        self._udev = UdevMonitor()
        self._heartbeat = Heartbeat(self.drives)
        self._healths = Healths(self.drives)
        self._health = HealthWatch(self.drives)
        self._evasion = EvasionWatch(self.drives)
        self._sampler = Sampler(self.drives, self._health.of)
        self._scanner = Scanner(self.drives, Growth(self.drives, turns))
        self._repairs = Repairs(work, fences, self._scanner.settle, config.repair_timeout)
        self._locating = Locating(self.drives)
        self._releases = Releases(work, fences, self._scanner.settle)
        self._joining = Joining(config) if config.bus_key else None
        self._bus: Bus | None = None
        """The last connection, whether or not it still is one."""
        self.drives.on_doubt = self._scanner.trigger
        self.drives.on_change = self._heartbeat.poke
        self.drives.on_take_over = self._purges.purge_left
        self.drives.on_unstaged = self._moves.unstaged

    @property
    def handlers(self) -> Handlers:
        """What answers each endpoint."""
        return {
            Node.NODE_GET: self._heartbeat.get_info,
            Node.INVENTORY_GET: self._heartbeat.get_inventory,
            Node.DEVICE_LIST: self._devices.list,
            Node.DEVICE_FORMAT: self._devices.format,
            Node.DRIVE_SEEN: self._moved.seen,
            Node.DRIVE_ADOPT: self._moved.adopt,
            Node.DRIVE_UPDATE: self._devices.update,
            Node.DRIVE_RELEASE: self._releases.release,
            Node.DRIVE_REPAIR: self._repairs.repair,
            Node.DRIVE_REPAIR_STATUS: self._repairs.status,
            Node.DRIVE_LOCATE: self._locating.locate,
            Node.VOLUME_PREPARE: self._orders.prepare,
            Node.VOLUME_REMOVE: self._orders.remove,
            Node.VOLUME_COPY: self._moves.copy,
            Node.VOLUME_STAGE: self._staging.stage,
            Node.VOLUME_PUBLISH: self._volumes.publish,
            Node.VOLUME_UNPUBLISH: self._volumes.unpublish,
            Node.VOLUME_UNSTAGE: self._volumes.unstage,
            Node.VOLUME_EXPAND: self._volumes.expand,
            Node.VOLUME_STATS: self._volumes.stats,
            Node.VOLUME_USAGE: self._volumes.usage,
            Node.VOLUME_HEALTH: self._healths.volume,
            Node.NODE_HEALTH: self._healths.node,
        }

    def not_ready(self) -> str:
        """Return why the agent cannot do its work; empty if it can. A broken drive is no reason, the bus is none."""
        if self.drives.host.quota_required and kernel_lacks_quota():
            return NO_KERNEL_QUOTA
        if self._joining is not None and self._joining.problem:
            return self._joining.problem
        return self.drives.trouble or ("" if self.drives.scanned else "devices were not scanned yet")

    async def run(self) -> None:
        """Mount drives, then serve and watch until cancelled."""
        self._warn()
        await self._scanner.scan()
        found = self.drives.by_id.values()
        log.info("drives scanned", extra={"drives": len(found), "volumes": sum(len(d.volumes) for d in found)})
        config = self._config
        monitor = Monitor(self.not_ready)
        collector = NodeCollector(config.node_name, self._drives_now, lambda: self._sampler.latest, self._counters)
        async with (
            self._purging(),
            background(
                monitor.run(),
                self._serve_http(
                    monitor, registry_with(collector, lambda: self._bus is not None and self._bus.connected)
                ),
                self._scanner.run(config.scan_interval),
                *([self._udev.run(self._scanner.trigger)] if config.device_events == "on" else []),
                self._sampler.run(config.metrics_interval),
                self._health.run(config.health_interval),
                self._evasion.run(),
                self._serve_bus(),
                *([self._joining.run()] if self._joining is not None else []),
            ),
        ):
            await asyncio.Event().wait()

    async def _serve_http(self, monitor: Monitor, registry: CollectorRegistry) -> None:
        """Serve metrics and probes, as soon as their ports are free: volumes do not wait for that.

        A former run that was killed while a disk hung keeps its ports until the disk answers or goes.
        """
        config = self._config
        ports, told = (config.metrics_port, config.readiness_port), ""
        while True:
            try:
                async with serve_http(monitor, registry, *ports, host=config.http_host):
                    await asyncio.Event().wait()
            except OSError as error:
                if told != str(error):
                    log.error("no metrics and probes yet; trying again", extra={"error": str(error)})
                told = str(error)
            await asyncio.sleep(RETRY_SECONDS)

    def _warn(self) -> None:
        if not kernel_lacks_quota():
            return
        if self.drives.host.quota_required:
            log.error(NO_KERNEL_QUOTA)
        else:
            log.warning("volumes are NOT limited to their size: this kernel has no XFS project quota (best-effort)")

    def _drives_now(self) -> list[DriveNow]:
        """Return the drives as they are; called from another thread, so it reads what is replaced and never changed."""
        return [
            DriveNow(drive.record, drive.free, len(drive.volumes), left_behind(drive))
            for drive in tuple(self.drives.by_id.values())
        ]

    def _counters(self) -> dict[str, int]:
        return {
            "rescans": self.drives.rescans,
            "udev_overflows": self._udev.lost,
            "events_dropped": self._teller.dropped,
            "hung_threads": sum(self.drives.executors.stuck.values()),
            "scan_failed": int(bool(self.drives.trouble)),
        }

    @contextlib.asynccontextmanager
    async def _purging(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._repairs.stop()
            await self._releases.stop()
            await self._moves.stop()
            await self._purges.stop()
            await self._volumes.stop()

    # ---- bus ----------------------------------------------------------------------------------------------------

    async def _serve_bus(self) -> None:
        """Serve on the bus, for as long as it takes to reach it at first; later the client reconnects by itself."""
        config = self._config
        while True:
            try:
                async with connect_bus(
                    config.nats_url,
                    name=f"nodeagent {config.node_name}",
                    prefix=config.subject_prefix,
                    within=CONNECT_SECONDS,
                    nkey=key_of(config.nats_nkey),
                    inbox=node_inbox(config.node_name),
                ) as bus:
                    await self._serve(bus)
            except* Unavailable as group:
                log.warning("bus cannot be reached yet", extra={"error": str(next(iter(leaves(group))))})
                await asyncio.sleep(RETRY_SECONDS)
            except* Exception:
                # Whatever happens on the bus, drives stay mounted and watched.
                log.exception("serving on the bus failed; connecting again")
                await asyncio.sleep(RETRY_SECONDS)

    async def _serve(self, bus: Bus) -> None:
        config = self._config
        events = Events(bus, config.node_name)
        self._teller.connect(events)
        self._bus = bus
        bus.on_reconnect(self._heartbeat.poke)
        async with (
            serve(
                bus,
                name="directpv-nodeagent",
                description=f"Drives and volumes of node {config.node_name}",
                handlers=self.handlers,
                queue=f"nodeagent-{self._heartbeat.boot}",
                node=config.node_name,
                metadata={"node": config.node_name, "boot": self._heartbeat.boot},
            ),
            background(
                events.run(),
                self._heartbeat.run(bus, config.heartbeat_interval),
                self._sampler.publish(bus, config.metrics_interval),
                bus.require(),
            ),
        ):
            server = bus.client.connected_url
            where = f"{server.hostname}:{server.port}" if server is not None else ""  # no user, no password
            log.info("serving", extra={"node": config.node_name, "server": where})
            await asyncio.Event().wait()
