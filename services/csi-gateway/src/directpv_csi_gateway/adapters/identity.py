"""CSI Identity: who we are, what we can do, and whether we can be used."""

from collections.abc import Callable

from directpv_common import __version__
from directpv_common.protocol.names import DRIVER_NAME
from directpv_csi_gateway.adapters.guard import Methods
from directpv_csi_gateway.core import capabilities
from directpv_csi_gateway.pb import csi_pb2 as pb


class Identity:
    """Answers for the gateway itself; nothing here asks another process.

    ``Probe`` tells whether the gateway's own NATS server is connected, and never fails. It says nothing about
    controller and node agent: kubelet restarts the container whose livenessprobe sidecar hears "not ready", and a
    restart of the gateway repairs neither of them; their absence shows as UNAVAILABLE in the calls. A node's
    gateway talks to the node's own leaf server, so that it stays ready while the hub is away.
    """

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    def methods(self) -> Methods:
        """Return the RPCs that are served."""
        return {
            "GetPluginInfo": self.get_plugin_info,
            "GetPluginCapabilities": self.get_plugin_capabilities,
            "Probe": self.probe,
        }

    async def get_plugin_info(self, request: pb.GetPluginInfoRequest) -> pb.GetPluginInfoResponse:
        """Return name and version of the driver."""
        return pb.GetPluginInfoResponse(name=DRIVER_NAME, vendor_version=__version__)

    async def get_plugin_capabilities(
        self, request: pb.GetPluginCapabilitiesRequest
    ) -> pb.GetPluginCapabilitiesResponse:
        """Return what the driver can do."""
        return capabilities.plugin()

    async def probe(self, request: pb.ProbeRequest) -> pb.ProbeResponse:
        """Return whether calls can be passed on."""
        reply = pb.ProbeResponse()
        reply.ready.value = self._ready()
        return reply
