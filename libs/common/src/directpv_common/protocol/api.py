"""Every request that can be made, with the message it takes and the one it gives: the table of both APIs."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import directpv_common.protocol.messages as m

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Endpoint(Generic[Q, R]):
    """One verb: ``<noun>.<verb>`` below ``ctl`` or below ``node.<node>``."""

    noun: str
    verb: str
    request: type[Q]
    reply: type[R]

    @property
    def name(self) -> str:
        """Name in ``nats micro info``: no dots allowed there."""
        return f"{self.noun}-{self.verb}"


class Controller:
    """Answered by the leader alone, on ``<prefix>.ctl.<noun>.<verb>``."""

    VOLUME_CREATE = Endpoint("volume", "create", m.CreateVolume, m.VolumeInfo)
    VOLUME_DELETE = Endpoint("volume", "delete", m.VolumeId, m.Done)
    VOLUME_EXPAND = Endpoint("volume", "expand", m.ExpandVolume, m.VolumeExpanded)
    VOLUME_CHANGE = Endpoint("volume", "change", m.ChangeVolume, m.VolumeInfo)
    VOLUME_MOVE = Endpoint("volume", "move", m.MoveVolume, m.MoveStatus)
    MOVE_LIST = Endpoint("move", "list", m.ListMoves, m.MoveList)
    VOLUME_GET = Endpoint("volume", "get", m.VolumeId, m.VolumeInfo)
    VOLUME_LIST = Endpoint("volume", "list", m.ListVolumes, m.VolumePage)
    VOLUME_HEALTH = Endpoint("volume", "health", m.GetVolumeHealth, m.VolumeHealth)
    VOLUME_HEALTH_LIST = Endpoint("volume", "health-list", m.ListVolumeHealth, m.VolumeHealthPage)
    CAPACITY_GET = Endpoint("capacity", "get", m.GetCapacity, m.Capacity)
    DRIVE_LIST = Endpoint("drive", "list", m.ListDrives, m.DrivePage)
    DRIVE_CHANGE = Endpoint("drive", "change", m.ChangeDrive, m.DriveInfo)
    DRIVE_INIT = Endpoint("drive", "init", m.InitDevices, m.FormatResults)
    DRIVE_REMOVE = Endpoint("drive", "remove", m.RemoveDrive, m.DriveRemoval)
    DRIVE_MOVE_NODE = Endpoint("drive", "move-node", m.MoveDrive, m.DriveRecord)
    DRIVE_REPAIR = Endpoint("drive", "repair", m.RepairDrive, m.RepairStatus)
    DRIVE_REPAIR_STATUS = Endpoint("drive", "repair-status", m.DriveId, m.RepairStatus)
    DRIVE_LOCATE = Endpoint("drive", "locate", m.LocateDrive, m.BayLight)
    PLACEMENT_EXPLAIN = Endpoint("placement", "explain", m.ExplainPlacement, m.Placement)
    NODE_REMOVE = Endpoint("node", "remove", m.RemoveNode, m.NodeRemoval)
    NODE_LIST = Endpoint("node", "list", m.ListNodes, m.NodePage)


class Node:
    """Answered by one node's agent, on ``<prefix>.node.<node>.<noun>.<verb>``."""

    NODE_GET = Endpoint("node", "get", m.Empty, m.NodeInfo)
    DEVICE_LIST = Endpoint("device", "list", m.Empty, m.DeviceList)
    DEVICE_FORMAT = Endpoint("device", "format", m.FormatDevices, m.FormatResults)
    DRIVE_SEEN = Endpoint("drive", "seen", m.ListSeenDrives, m.SeenDrives)
    DRIVE_ADOPT = Endpoint("drive", "adopt", m.AdoptDrive, m.DriveRecord)
    DRIVE_UPDATE = Endpoint("drive", "update", m.UpdateDrive, m.Done)
    DRIVE_RELEASE = Endpoint("drive", "release", m.ReleaseDrive, m.DriveReleased)
    DRIVE_REPAIR = Endpoint("drive", "repair", m.OrderRepair, m.RepairStatus)
    DRIVE_REPAIR_STATUS = Endpoint("drive", "repair-status", m.DriveId, m.RepairStatus)
    DRIVE_LOCATE = Endpoint("drive", "locate", m.LocateDrive, m.BayLight)
    INVENTORY_GET = Endpoint("inventory", "get", m.GetInventory, m.Inventory)
    VOLUME_PREPARE = Endpoint("volume", "prepare", m.PrepareVolumes, m.Prepared)
    VOLUME_REMOVE = Endpoint("volume", "remove", m.RemoveVolume, m.VolumeRemoved)
    VOLUME_COPY = Endpoint("volume", "copy", m.CopyVolume, m.CopyStatus)
    VOLUME_STAGE = Endpoint("volume", "stage", m.StageVolume, m.Done)
    VOLUME_PUBLISH = Endpoint("volume", "publish", m.PublishVolume, m.Done)
    VOLUME_UNPUBLISH = Endpoint("volume", "unpublish", m.UnpublishVolume, m.Done)
    VOLUME_UNSTAGE = Endpoint("volume", "unstage", m.UnstageVolume, m.Done)
    VOLUME_EXPAND = Endpoint("volume", "expand", m.ExpandNodeVolume, m.NodeVolumeExpanded)
    VOLUME_STATS = Endpoint("volume", "stats", m.StatVolume, m.VolumeStats)
    VOLUME_USAGE = Endpoint("volume", "usage", m.GetVolumeUsage, m.VolumeStats)
    VOLUME_HEALTH = Endpoint("volume", "health", m.GetVolumeHealth, m.VolumeHealth)
    NODE_HEALTH = Endpoint("node", "health", m.Empty, m.StorageHealth)


class Door:
    """Answered by any controller in a cluster, on ``<prefix>.door.<key>``, to those who are not known yet."""

    REGISTER = Endpoint("key", "register", m.RegisterKey, m.KeyRegistered)
