"""CSI Controller: each call is one request to the leading controller."""

from directpv_common.bus.line import Line
from directpv_common.calls.turns import in_turns
from directpv_common.protocol.api import Controller as Api
from directpv_csi_gateway.adapters.guard import LONGEST_SECONDS, Methods
from directpv_csi_gateway.core import capabilities, health, replies
from directpv_csi_gateway.core import controller as requests
from directpv_csi_gateway.pb import csi_pb2 as pb


class Controller:
    """Waits for a leader as long as the caller waits. Every call may be repeated."""

    def __init__(self, bus: Line, *, condition: bool = False) -> None:
        """Take the bus; ``condition``: tell health as CSI 1.12 has it, too."""
        self._bus = bus
        self._condition = condition

    def methods(self) -> Methods:
        """Return the RPCs that are served; attach, snapshots and modification are not."""
        return {
            "CreateVolume": self.create_volume,
            "DeleteVolume": self.delete_volume,
            "ValidateVolumeCapabilities": self.validate_volume_capabilities,
            "ListVolumes": self.list_volumes,
            "GetCapacity": self.get_capacity,
            "ControllerGetCapabilities": self.controller_get_capabilities,
            "ControllerExpandVolume": self.controller_expand_volume,
            "ControllerGetVolume": self.controller_get_volume,
            "ControllerGetVolumeHealth": self.controller_get_volume_health,
            "ControllerListVolumeHealth": self.controller_list_volume_health,
        }

    async def create_volume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        """Place a volume."""
        message = await in_turns(requests.create_volume(request))
        info = await self._bus.call(Api.VOLUME_CREATE, message, within=LONGEST_SECONDS)
        return pb.CreateVolumeResponse(volume=replies.volume(info))

    async def delete_volume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        """Delete a volume; one that does not exist counts as deleted."""
        await self._bus.call(Api.VOLUME_DELETE, requests.delete_volume(request), within=LONGEST_SECONDS)
        return pb.DeleteVolumeResponse()

    async def validate_volume_capabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """Tell whether an existing volume can be used as asked."""
        info = await self._bus.call(Api.VOLUME_GET, requests.validate(request), within=LONGEST_SECONDS)
        return replies.validated(request, info)

    async def list_volumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        """Return one page of volumes."""
        page = await self._bus.call(Api.VOLUME_LIST, requests.list_volumes(request), within=LONGEST_SECONDS)
        return replies.listed(page, condition=self._condition)

    async def get_capacity(self, request: pb.GetCapacityRequest) -> pb.GetCapacityResponse:
        """Return what a class of volumes can still get in one place."""
        found = await self._bus.call(Api.CAPACITY_GET, requests.get_capacity(request), within=LONGEST_SECONDS)
        return replies.capacity(found)

    async def controller_get_capabilities(
        self, request: pb.ControllerGetCapabilitiesRequest
    ) -> pb.ControllerGetCapabilitiesResponse:
        """Return what this service can do."""
        return capabilities.controller(condition=self._condition)

    async def controller_expand_volume(
        self, request: pb.ControllerExpandVolumeRequest
    ) -> pb.ControllerExpandVolumeResponse:
        """Reserve a larger size for a volume."""
        expanded = await self._bus.call(Api.VOLUME_EXPAND, requests.expand_volume(request), within=LONGEST_SECONDS)
        return pb.ControllerExpandVolumeResponse(
            capacity_bytes=expanded.capacity, node_expansion_required=expanded.node_expansion_required
        )

    async def controller_get_volume(self, request: pb.ControllerGetVolumeRequest) -> pb.ControllerGetVolumeResponse:
        """Return one volume."""
        info = await self._bus.call(Api.VOLUME_GET, requests.get_volume(request), within=LONGEST_SECONDS)
        return replies.got(info, condition=self._condition)

    async def controller_get_volume_health(
        self, request: pb.ControllerGetVolumeHealthRequest
    ) -> pb.ControllerGetVolumeHealthResponse:
        """Return what is wrong with one volume."""
        asked = health.get_from_controller(request)
        found = await self._bus.call(Api.VOLUME_HEALTH, asked, within=LONGEST_SECONDS)
        return pb.ControllerGetVolumeHealthResponse(volume_health=health.volume_health(found))

    async def controller_list_volume_health(
        self, request: pb.ControllerListVolumeHealthRequest
    ) -> pb.ControllerListVolumeHealthResponse:
        """Return one page of the volumes that are not well."""
        asked = health.list_from_controller(request)
        return health.listed(await self._bus.call(Api.VOLUME_HEALTH_LIST, asked, within=LONGEST_SECONDS))
