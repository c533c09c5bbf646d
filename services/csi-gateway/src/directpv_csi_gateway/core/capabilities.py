"""What the gateway declares; the sidecars and csi-sanity choose their calls by it."""

from typing import Final

from directpv_csi_gateway.pb import csi_pb2 as pb

_Plugin = pb.PluginCapability
_Controller = pb.ControllerServiceCapability.RPC
_Node = pb.NodeServiceCapability.RPC

CONTROLLER: Final = (
    _Controller.CREATE_DELETE_VOLUME,
    _Controller.LIST_VOLUMES,
    _Controller.GET_CAPACITY,
    _Controller.EXPAND_VOLUME,
    _Controller.VOLUME_CONDITION,
    _Controller.GET_VOLUME,
    _Controller.SINGLE_NODE_MULTI_WRITER,
)
NODE: Final = (
    _Node.STAGE_UNSTAGE_VOLUME,
    _Node.GET_VOLUME_STATS,
    _Node.EXPAND_VOLUME,
    _Node.VOLUME_CONDITION,
    _Node.SINGLE_NODE_MULTI_WRITER,
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


def controller() -> pb.ControllerGetCapabilitiesResponse:
    """Return what the Controller service can do."""
    return pb.ControllerGetCapabilitiesResponse(
        capabilities=[pb.ControllerServiceCapability(rpc=_Controller(type=kind)) for kind in CONTROLLER]
    )


def node() -> pb.NodeGetCapabilitiesResponse:
    """Return what the Node service can do."""
    return pb.NodeGetCapabilitiesResponse(
        capabilities=[pb.NodeServiceCapability(rpc=_Node(type=kind)) for kind in NODE]
    )
