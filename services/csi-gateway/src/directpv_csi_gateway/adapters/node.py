"""CSI Node: each call is one request to this node's agent; no other process is asked."""

from typing import Final, TypeVar

import directpv_common.protocol.messages as m
from directpv_common.bus.line import Line
from directpv_common.protocol.api import Endpoint
from directpv_common.protocol.api import Node as Api
from directpv_csi_gateway.adapters.guard import LONGEST_SECONDS, Methods
from directpv_csi_gateway.core import capabilities, health, replies
from directpv_csi_gateway.core import node as requests
from directpv_csi_gateway.pb import csi_pb2 as pb

Q = TypeVar("Q")
R = TypeVar("R")

HEALTH_SECONDS: Final = 1.0
"""The agent answers from memory. kubelet asks for one volume of the node after the other, those of other drivers too:
none may wait for an agent that is being started anew."""


class Node:
    """Waits for the agent as long as the caller waits. Every call may be repeated."""

    def __init__(self, bus: Line, node: str, *, condition: bool = False) -> None:
        """Take the bus and the node's name; ``condition``: tell health as CSI 1.12 has it, too."""
        self._bus = bus
        self._node = node
        self._condition = condition

    def methods(self) -> Methods:
        """Return the RPCs that are served: all of the service."""
        return {
            "NodeStageVolume": self.node_stage_volume,
            "NodeUnstageVolume": self.node_unstage_volume,
            "NodePublishVolume": self.node_publish_volume,
            "NodeUnpublishVolume": self.node_unpublish_volume,
            "NodeGetVolumeStats": self.node_get_volume_stats,
            "NodeExpandVolume": self.node_expand_volume,
            "NodeGetCapabilities": self.node_get_capabilities,
            "NodeGetInfo": self.node_get_info,
            "NodeGetVolumeHealth": self.node_get_volume_health,
            "NodeGetStorageHealth": self.node_get_storage_health,
        }

    async def _ask(self, endpoint: Endpoint[Q, R], request: Q) -> R:
        return await self._bus.call(endpoint, request, node=self._node, within=LONGEST_SECONDS)

    async def _ask_health(self, endpoint: Endpoint[Q, R], request: Q) -> R:
        return await self._bus.call(endpoint, request, node=self._node, within=HEALTH_SECONDS, patient=False)

    async def node_stage_volume(self, request: pb.NodeStageVolumeRequest) -> pb.NodeStageVolumeResponse:
        """Mount a volume at its staging path."""
        await self._ask(Api.VOLUME_STAGE, requests.stage_volume(request))
        return pb.NodeStageVolumeResponse()

    async def node_unstage_volume(self, request: pb.NodeUnstageVolumeRequest) -> pb.NodeUnstageVolumeResponse:
        """Unmount a staging path; one that is not mounted is fine."""
        await self._ask(Api.VOLUME_UNSTAGE, requests.unstage_volume(request))
        return pb.NodeUnstageVolumeResponse()

    async def node_publish_volume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        """Mount a staged volume into a pod."""
        await self._ask(Api.VOLUME_PUBLISH, requests.publish_volume(request))
        return pb.NodePublishVolumeResponse()

    async def node_unpublish_volume(self, request: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        """Unmount a volume from a pod; one that is not mounted is fine."""
        await self._ask(Api.VOLUME_UNPUBLISH, requests.unpublish_volume(request))
        return pb.NodeUnpublishVolumeResponse()

    async def node_get_volume_stats(self, request: pb.NodeGetVolumeStatsRequest) -> pb.NodeGetVolumeStatsResponse:
        """Return how full a mounted volume is."""
        found = await self._ask(Api.VOLUME_STATS, requests.volume_stats(request))
        return replies.stats(found, condition=self._condition)

    async def node_get_volume_health(self, request: pb.NodeGetVolumeHealthRequest) -> pb.NodeGetVolumeHealthResponse:
        """Return what is wrong with one volume."""
        found = await self._ask_health(Api.VOLUME_HEALTH, health.get_from_node(request))
        return pb.NodeGetVolumeHealthResponse(volume_health=health.volume_health(found))

    async def node_get_storage_health(self, request: pb.NodeGetStorageHealthRequest) -> pb.NodeGetStorageHealthResponse:
        """Return what is wrong with the drives of the node."""
        return health.storage_health(await self._ask_health(Api.NODE_HEALTH, m.Empty()))

    async def node_expand_volume(self, request: pb.NodeExpandVolumeRequest) -> pb.NodeExpandVolumeResponse:
        """Raise the quota of a mounted volume."""
        expanded = await self._ask(Api.VOLUME_EXPAND, requests.expand_volume(request))
        return pb.NodeExpandVolumeResponse(capacity_bytes=expanded.capacity)

    async def node_get_capabilities(self, request: pb.NodeGetCapabilitiesRequest) -> pb.NodeGetCapabilitiesResponse:
        """Return what this service can do."""
        return capabilities.node(condition=self._condition)

    async def node_get_info(self, request: pb.NodeGetInfoRequest) -> pb.NodeGetInfoResponse:
        """Return this node's name and topology, as its agent tells them."""
        return replies.node_info(await self._ask(Api.NODE_GET, m.Empty()))
