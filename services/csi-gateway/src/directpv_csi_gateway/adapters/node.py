"""CSI Node: each call is one request to this node's agent; no other process is asked."""

from typing import TypeVar

import directpv_common.protocol.messages as m
from directpv_common.bus.line import Line
from directpv_common.protocol.api import Endpoint
from directpv_common.protocol.api import Node as Api
from directpv_csi_gateway.adapters.guard import LONGEST_SECONDS, Methods
from directpv_csi_gateway.core import capabilities, replies
from directpv_csi_gateway.core import node as requests
from directpv_csi_gateway.pb import csi_pb2 as pb

Q = TypeVar("Q")
R = TypeVar("R")


class Node:
    """Waits for the agent as long as the caller waits. Every call may be repeated."""

    def __init__(self, bus: Line, node: str) -> None:
        self._bus = bus
        self._node = node

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
        }

    async def _ask(self, endpoint: Endpoint[Q, R], request: Q) -> R:
        return await self._bus.call(endpoint, request, node=self._node, within=LONGEST_SECONDS)

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
        """Return how full a mounted volume is, and whether it is well."""
        return replies.stats(await self._ask(Api.VOLUME_STATS, requests.volume_stats(request)))

    async def node_expand_volume(self, request: pb.NodeExpandVolumeRequest) -> pb.NodeExpandVolumeResponse:
        """Raise the quota of a mounted volume."""
        expanded = await self._ask(Api.VOLUME_EXPAND, requests.expand_volume(request))
        return pb.NodeExpandVolumeResponse(capacity_bytes=expanded.capacity)

    async def node_get_capabilities(self, request: pb.NodeGetCapabilitiesRequest) -> pb.NodeGetCapabilitiesResponse:
        """Return what this service can do."""
        return capabilities.node()

    async def node_get_info(self, request: pb.NodeGetInfoRequest) -> pb.NodeGetInfoResponse:
        """Return this node's name and topology, as its agent tells them."""
        return replies.node_info(await self._ask(Api.NODE_GET, m.Empty()))
