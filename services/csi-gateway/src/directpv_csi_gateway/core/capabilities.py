"""What the gateway declares; the sidecars and csi-sanity choose their calls by it."""

from typing import Final

from directpv_csi_gateway.core import former_health
from directpv_csi_gateway.pb import csi_pb2 as pb

_Plugin = pb.PluginCapability
_Controller = pb.ControllerServiceCapability.RPC
_Node = pb.NodeServiceCapability.RPC

CONTROLLER: Final = (
    _Controller.CREATE_DELETE_VOLUME,
    _Controller.LIST_VOLUMES,
    _Controller.GET_CAPACITY,
    _Controller.EXPAND_VOLUME,
    _Controller.GET_VOLUME,
    _Controller.SINGLE_NODE_MULTI_WRITER,
    _Controller.GET_VOLUME_HEALTH,
    _Controller.LIST_VOLUME_HEALTH,
)
NODE: Final = (
    _Node.STAGE_UNSTAGE_VOLUME,
    _Node.GET_VOLUME_STATS,
    _Node.EXPAND_VOLUME,
    _Node.SINGLE_NODE_MULTI_WRITER,
    _Node.GET_VOLUME_HEALTH,
    _Node.GET_STORAGE_HEALTH,
)


def plugin() -> pb.GetPluginCapabilitiesResponse:
    """Return what the driver as a whole can do: the same on every node and in every mode, as CSI asks."""
    services = (_Plugin.Service.CONTROLLER_SERVICE, _Plugin.Service.VOLUME_ACCESSIBILITY_CONSTRAINTS)
    online = _Plugin.VolumeExpansion(type=_Plugin.VolumeExpansion.ONLINE)
    return pb.GetPluginCapabilitiesResponse(
        capabilities=[
            *(_Plugin(service=_Plugin.Service(type=kind)) for kind in services),
            _Plugin(volume_expansion=online),
        ]
    )


def controller(*, condition: bool = False) -> pb.ControllerGetCapabilitiesResponse:
    """Return what the Controller service can do; ``condition``: also VOLUME_CONDITION of CSI 1.12."""
    kinds = (*CONTROLLER, former_health.CONTROLLER_CAPABILITY) if condition else CONTROLLER
    return pb.ControllerGetCapabilitiesResponse(
        capabilities=[pb.ControllerServiceCapability(rpc=_Controller(type=kind)) for kind in kinds]
    )


def node(*, condition: bool = False) -> pb.NodeGetCapabilitiesResponse:
    """Return what the Node service can do; ``condition``: also VOLUME_CONDITION of CSI 1.12."""
    kinds = (*NODE, former_health.NODE_CAPABILITY) if condition else NODE
    return pb.NodeGetCapabilitiesResponse(
        capabilities=[pb.NodeServiceCapability(rpc=_Node(type=kind)) for kind in kinds]
    )
